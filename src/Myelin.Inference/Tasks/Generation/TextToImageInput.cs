using System.Text.Json;
using Myelin.Inference.Imaging;
using Myelin.Inference.Tasks.Generation.Pipeline;
using Myelin.Inference.Tasks.Images;

namespace Myelin.Inference.Tasks.Generation;

/// <summary>Checks what a caller gave and fills in what was left open.</summary>
internal sealed class TextToImageInput(TextToImageSettings settings, DiffusionFolder folder, TaskContract contract, ImagingLimits limits)
{
    /// <exception cref="InputException">Names the field and the cure.</exception>
    public GenerationRequest Read(TaskInput input)
    {
        if (TaskContracts.Check(contract, input.Parameters) is [var wrong, ..])
        {
            throw new InputException(wrong.Field, wrong.Message);
        }

        var parameters = new Parameters(input.Parameters);
        using var picture = Decode(input, "image", null);
        using var mask = Decode(input, "mask", picture);
        var (width, height) = Size(input.Parameters, picture is null ? null : (picture.Width, picture.Height));
        var request = new GenerationRequest
        {
            Prompt = Text(input.Parameters, "prompt") ?? "",
            NegativePrompt = Text(input.Parameters, "negativePrompt"),
            Steps = parameters.Integer("steps", TextToImageContract.DefaultSteps(settings, folder)),
            Guidance = parameters.Number("guidance", TextToImageContract.DefaultGuidance(settings, folder)),
            Sampler = Text(input.Parameters, "sampler") ?? TextToImageContract.DefaultSampler(settings, folder),
            Seed = GenerationSeed.Of(input.Parameters) ?? GenerationSeed.Pick(),
            Width = width,
            Height = height,
            Output = Output(input.Parameters) ?? (width, height),
            Count = parameters.Integer("count", 1),
        };
        return picture is null ? request : request with
        {
            Strength = parameters.Number("strength", settings.Strength ?? (mask is null ? 0.8 : 1)),
            Image = RgbPlanes.FromBytes(Scaled(picture, width, height).Span),
            Mask = mask is null ? null : RgbPlanes.Mask(Scaled(mask, width, height).Span),
        };
    }

    /// <summary>Estimated; nothing for input that will be refused.</summary>
    public MemoryNeed MemoryOf(TaskInput input)
    {
        if (TaskContracts.Check(contract, input.Parameters).Count > 0 || IsHalf(input.Parameters))
        {
            return default;
        }

        var (width, height) = Size(input.Parameters, ImageFile.Size(input, limits));
        var guided = folder.GuidanceWidth is null && new Parameters(input.Parameters).Number("guidance", TextToImageContract.DefaultGuidance(settings, folder)) > 1;
        var (ownWidth, ownHeight) = TextToImageContract.DefaultSize(settings, folder);
        return new MemoryNeed(
            GenerationMemory.Of(folder, width, height, guided), "parameters.width",
            $"Ask for a smaller picture: the network was made for {ownWidth}×{ownHeight}; outputWidth and outputHeight enlarge it",
            Usual: (long)width * height <= (long)ownWidth * ownHeight);
    }

    private Picture? Decode(TaskInput input, string part, Picture? picture)
    {
        if (!input.Files.ContainsKey(part))
        {
            return null;
        }

        if (!folder.HasEncoder)
        {
            throw new InputException($"input.{part}", "this model makes pictures from words only: it has no vae_encoder");
        }

        if (part == "mask" && picture is null)
        {
            throw new InputException("input.mask", "needs the picture it belongs to; send it as the part 'image'");
        }

        var decoded = ImageFile.Decode(input, limits, name: part);
        if (picture is not null && (decoded.Width, decoded.Height) != (picture.Width, picture.Height))
        {
            var size = $"{decoded.Width}×{decoded.Height}";
            decoded.Dispose();
            throw new InputException("input.mask", $"is {size}, but must have the picture's size, {picture.Width}×{picture.Height}");
        }

        return decoded;
    }

    private static bool IsHalf(JsonElement parameters) => new Parameters(parameters) is var given && given.Has("outputWidth") != given.Has("outputHeight");

    private static (int Width, int Height)? Output(JsonElement parameters)
    {
        if (IsHalf(parameters))
        {
            throw new InputException("parameters.outputHeight", "outputWidth and outputHeight belong together; give both");
        }

        var given = new Parameters(parameters);
        return given.Has("outputWidth") ? (given.Integer("outputWidth", 0), given.Integer("outputHeight", 0)) : null;
    }

    /// <summary>What the network makes: as asked, else in the proportions of what is handed out or of the picture.</summary>
    private (int Width, int Height) Size(JsonElement parameters, (int Width, int Height)? picture)
    {
        var given = new Parameters(parameters);
        var (width, height) = TextToImageContract.DefaultSize(settings, folder);
        if (Output(parameters) is var (outputWidth, outputHeight))
        {
            (width, height) = TextToImageContract.SizeFor(settings, folder, outputWidth, outputHeight);
        }
        else if (picture is var (pictureWidth, pictureHeight))
        {
            var shrink = Math.Min(1, (double)TextToImageContract.Largest(settings, folder) / Math.Max(pictureWidth, pictureHeight));
            (width, height) = (Down(pictureWidth * shrink), Down(pictureHeight * shrink));
        }

        return (given.Integer("width", width), given.Integer("height", height));
    }

    private int Down(double side)
    {
        var multiple = folder.PixelMultiple;
        var least = (int)(contract.Parameters.First(p => p.Name == "width").Minimum ?? multiple);
        return Math.Max((int)side / multiple * multiple, least);
    }

    private static ReadOnlyMemory<byte> Scaled(Picture picture, int width, int height)
    {
        var fit = PictureFit.Of(FitMode.Stretch, picture.Width, picture.Height, width, height, centred: false, cropRatio: 1);
        using var scaled = PictureScaler.Scale(picture, fit, width, height);
        return scaled.Pixels.ToArray();
    }

    private static string? Text(JsonElement parameters, string name) =>
        parameters.ValueKind == JsonValueKind.Object && parameters.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;
}
