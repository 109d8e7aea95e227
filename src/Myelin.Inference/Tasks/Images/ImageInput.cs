using Myelin.Inference.Imaging;
using Myelin.Inference.Models;

namespace Myelin.Inference.Tasks.Images;

/// <summary>The <c>input</c> section of a model that takes a picture: how its pixels become a tensor.</summary>
internal sealed record ImageInput
{
    /// <summary>Name of the network's input; null for its only one.</summary>
    public string? Name { get; init; }

    public int Width { get; init; }

    public int Height { get; init; }

    /// <summary>Channels first (NCHW); false for channels last (NHWC).</summary>
    public bool ChannelsFirst { get; init; } = true;

    /// <summary>Blue, green, red; false for red, green, blue.</summary>
    public bool Bgr { get; init; }

    /// <summary>Applied first: value × scale.</summary>
    public double Scale { get; init; } = 1;

    /// <summary>Then subtracted, in the order of the network's channels.</summary>
    public double[] Mean { get; init; } = [0, 0, 0];

    /// <summary>Then divided by, in the order of the network's channels.</summary>
    public double[] Deviation { get; init; } = [1, 1, 1];

    public FitMode Fit { get; init; } = FitMode.Stretch;

    /// <summary>A letterbox pads on all sides; false pads right and below.</summary>
    public bool Centred { get; init; } = true;

    /// <summary>Grey of the padding, 0..255.</summary>
    public int Pad { get; init; }

    /// <summary>What part of the shorter side a crop shows.</summary>
    public double CropRatio { get; init; } = 1;

    public static ImageInput Bind(SettingsReader reader)
    {
        var size = reader.Numbers("size", 2, 1, 8192, required: true) ?? [1, 1];
        return new ImageInput
        {
            Name = reader.Text("name"),
            Width = (int)size[0],
            Height = (int)size[1],
            ChannelsFirst = reader.Text("layout", choices: ["nchw", "nhwc"]) != "nhwc",
            Bgr = reader.Text("color", choices: ["rgb", "bgr"]) == "bgr",
            Scale = reader.Number("scale", 1e-9, 1e9) ?? 1,
            Mean = reader.Numbers("mean", 3, -1e6, 1e6) ?? [0, 0, 0],
            Deviation = reader.Numbers("std", 3, 1e-9, 1e9) ?? [1, 1, 1],
            Fit = reader.Text("fit", choices: ["letterbox", "stretch", "crop"]) switch
            {
                "letterbox" => FitMode.Letterbox,
                "crop" => FitMode.Crop,
                _ => FitMode.Stretch,
            },
            Centred = reader.Text("align", choices: ["centre", "start"]) != "start",
            Pad = reader.Integer("pad", 0, 255) ?? 0,
            CropRatio = reader.Number("cropRatio", 0.1, 1) ?? 1,
        };
    }
}
