namespace Myelin.Inference.Imaging.Vips;

/// <summary>
/// Labels need a font, and a small server has none: one is beside the program, and fontconfig is told so. The
/// machine's own fonts come after it, for scripts that ours does not have.
/// </summary>
internal static class Fonts
{
    /// <summary>Family of the labels.</summary>
    public const string Family = "DejaVu Sans";

    public static void Configure()
    {
        var file = Path.Combine(AppContext.BaseDirectory, "fonts", "fonts.conf");
        if (File.Exists(file) && Environment.GetEnvironmentVariable("FONTCONFIG_FILE") is not { Length: > 0 })
        {
            NativeEnvironment.Set("FONTCONFIG_FILE", file);
        }
    }
}
