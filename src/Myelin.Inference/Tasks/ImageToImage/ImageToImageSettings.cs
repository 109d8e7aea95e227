using Myelin.Inference.Models;

namespace Myelin.Inference.Tasks.ImageToImage;

/// <summary>Sections <c>input</c> and <c>output</c> of a network that makes one picture of another in a single pass.</summary>
internal sealed record ImageToImageSettings
{
    /// <summary>Side lengths of the network's input in pixels.</summary>
    public int Width { get; init; }

    public int Height { get; init; }

    /// <summary>The network sees brightness only; colour is enlarged beside it. False: red, green, blue.</summary>
    public bool Luma { get; init; }

    /// <summary>Blue, green, red order.</summary>
    public bool Bgr { get; init; }

    /// <summary>What white is in the network's numbers, in and out: 255 or 1.</summary>
    public float White { get; init; } = 255;

    /// <summary>Output pixels per input pixel and side.</summary>
    public int Scale { get; init; } = 1;

    /// <summary>Input pixels that neighbouring tiles share; seams are blended over them.</summary>
    public int Overlap { get; init; } = 32;

    /// <summary>Largest output, in millions of pixels; one takes 16 bytes while it is put together.</summary>
    public double MaxMegapixels { get; init; } = 24;

    public static ImageToImageSettings Bind(SettingsReader reader)
    {
        var (input, output, otherwise) = (reader.Section("input"), reader.Section("output"), new ImageToImageSettings());
        var size = input.Numbers("size", 2, 8, 8192, required: true) ?? [8, 8];
        var colour = input.Text("color", choices: ["rgb", "bgr", "luma"]);
        var settings = new ImageToImageSettings
        {
            Width = (int)size[0],
            Height = (int)size[1],
            Luma = colour == "luma",
            Bgr = colour == "bgr",
            White = (float)(input.Number("white", 1e-3, 65_535) ?? otherwise.White),
            Scale = output.Integer("scale", 1, 16) ?? otherwise.Scale,
            Overlap = output.Integer("overlap", 0, 4096) ?? otherwise.Overlap,
            MaxMegapixels = output.Number("maxMegapixels", 0.1, 200) ?? otherwise.MaxMegapixels,
        };
        if (settings.Overlap * 2 >= Math.Min(settings.Width, settings.Height))
        {
            output.Error("overlap", $"is {settings.Overlap}, but must be less than half of the input's side");
        }

        return settings;
    }
}
