namespace Myelin.Inference.Imaging;

/// <summary>Colours of findings: far apart from each other, readable on a photograph, the same for the same class every time.</summary>
internal static class Palette
{
    private static readonly string[] s_colours =
    [
        "#00c2a8", "#ff6b35", "#4d8dff", "#f7c948", "#e5489d", "#7bd148", "#a36bff", "#ff4d4d", "#19b5fe", "#c9a227",
        "#2ec4b6", "#ff9f1c", "#6a8caf", "#d65db1", "#97cc04", "#845ec2", "#ef476f", "#118ab2", "#bc6c25", "#06d6a0",
    ];

    public static string Of(int classId) => s_colours[(int)((uint)classId % (uint)s_colours.Length)];

    /// <summary>Black or white, whichever reads better on <paramref name="colour"/>.</summary>
    public static string TextOn(string colour)
    {
        var value = Convert.ToInt32(colour[1..], 16);
        var luminance = (0.299 * (value >> 16)) + (0.587 * ((value >> 8) & 255)) + (0.114 * (value & 255));
        return luminance > 140 ? "#10151c" : "#ffffff";
    }
}
