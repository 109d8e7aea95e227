using System.Text.Json;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks.Generation.Pipeline;
using Myelin.Inference.Tasks.Generation.Sampling;

namespace Myelin.Inference.Tasks.Generation;

/// <summary>What a text-to-image model takes: from its <c>model.yaml</c> and the folder's configurations, without loading a network.</summary>
internal static class TextToImageContract
{
    /// <summary>The largest whole number that every JSON client keeps exact.</summary>
    public const double LargestSeed = 9007199254740991;

    /// <summary>Longest side of a picture that is handed out, pixels.</summary>
    private const int LargestOutput = 2048;

    /// <summary>Beyond twice its own size a network repeats itself, and attention takes 16 times the memory.</summary>
    private const int Growth = 2;

    public static TaskContract For(ModelDefinition definition)
    {
        var settings = TaskLoader.Bind(definition, TextToImageSettings.Bind);
        try
        {
            return Of(settings, DiffusionFolder.Read(definition.Folder));
        }
        catch (ModelException)
        {
            return Of(settings, null); // Loading tells what is wrong; until then the general limits hold.
        }
    }

    public static TaskContract Of(TextToImageSettings settings, DiffusionFolder? folder)
    {
        var multiple = folder?.PixelMultiple ?? 8;
        var (width, height) = DefaultSize(settings, folder);
        var least = Least(settings, folder);
        ModelParameter Side(string name, int otherwise) =>
            ParameterSpecs.Integer(name, $"Pixels; a multiple of {multiple}. With a picture: the picture's {name}", least, Largest(settings, folder), otherwise) with { MultipleOf = multiple };

        return new TaskContract(
            TaskNames.TextToImage,
            [
                new ModelInput("image", "image", Required: false, "A picture to begin with; how much of it stays is said by strength"),
                new ModelInput("mask", "image", Required: false, "Light where the picture is made anew, dark where it stays; of the picture's size"),
            ],
            [
                new ModelParameter("prompt", "string", "What to show. Networks read some 77 tokens; what is beyond them has no effect") { Maximum = settings.MaxPrompt, Required = true },
                new ModelParameter("negativePrompt", "string", "What to keep out") { Maximum = settings.MaxPrompt },
                ParameterSpecs.Integer("steps", "More are finer and slower", 1, settings.MaxSteps, DefaultSteps(settings, folder)),
                ParameterSpecs.Number("guidance", "How closely the prompt is followed; 1 and less switch guidance off", 0, 50, DefaultGuidance(settings, folder)),
                new ModelParameter("sampler", "string", "How the steps are made") { Choices = Samplers(folder), Default = JsonSerializer.SerializeToElement(DefaultSampler(settings, folder)) },
                new ModelParameter("seed", "integer", "The same seed gives the same pictures; −1 or none picks one") { Minimum = -1, Maximum = LargestSeed },
                Side("width", width),
                Side("height", height),
                Output("outputWidth", "Pixels of the picture that is handed out, together with outputHeight; where width and height are not given the network makes its own size in these proportions"),
                Output("outputHeight", "See outputWidth"),
                ParameterSpecs.Integer("count", "Pictures", 1, settings.MaxCount, 1),
                new ModelParameter("strength", "number", "How much of a given picture is made anew, 0 to 1; 0.8 unless given, with a mask 1") { Minimum = 0, Maximum = 1 },
            ]);
    }

    public static int DefaultSteps(TextToImageSettings settings, DiffusionFolder? folder) => settings.Steps ?? (folder?.Consistency == true ? 4 : 20);

    public static double DefaultGuidance(TextToImageSettings settings, DiffusionFolder? folder) => settings.Guidance ?? folder switch
    {
        { GuidanceWidth: not null } => 8.5,
        { Consistency: true } => 1,
        _ => 7.5,
    };

    public static string DefaultSampler(TextToImageSettings settings, DiffusionFolder? folder) =>
        settings.Sampler ?? (folder is null ? "euler" : SamplerNames.NameOf(folder.Scheduler));

    public static (int Width, int Height) DefaultSize(TextToImageSettings settings, DiffusionFolder? folder)
    {
        var (width, height) = OwnSize(folder);
        var most = settings.MaxSize ?? int.MaxValue;
        return (settings.Width ?? Math.Min(width, most), settings.Height ?? Math.Min(height, most));
    }

    /// <summary>Longest side that the network makes.</summary>
    public static int Largest(TextToImageSettings settings, DiffusionFolder? folder)
    {
        var (width, height) = OwnSize(folder);
        return settings.MaxSize ?? Math.Max(folder is null ? LargestOutput : Math.Min(Growth * Math.Max(width, height), LargestOutput), Math.Max(settings.Width ?? 0, settings.Height ?? 0));
    }

    /// <summary>
    /// The size that the network makes for a picture of other dimensions: as many pixels as its default size has, in the
    /// picture's proportions as nearly as its steps and limits allow.
    /// </summary>
    public static (int Width, int Height) SizeFor(TextToImageSettings settings, DiffusionFolder folder, int outputWidth, int outputHeight)
    {
        var (width, height) = DefaultSize(settings, folder);
        var (least, most, multiple) = (Least(settings, folder), Largest(settings, folder) / folder.PixelMultiple * folder.PixelMultiple, folder.PixelMultiple);
        var scale = Math.Sqrt((double)width * height / outputWidth / outputHeight);
        return (Side(outputWidth), Side(outputHeight));

        int Side(int side) => Math.Clamp((int)Math.Round(side * scale / multiple) * multiple, least, Math.Max(least, most));
    }

    private static (int Width, int Height) OwnSize(DiffusionFolder? folder) =>
        ((folder?.SampleSize.Width ?? 64) * (folder?.Latent.Factor ?? 8), (folder?.SampleSize.Height ?? 64) * (folder?.Latent.Factor ?? 8));

    private static int Least(TextToImageSettings settings, DiffusionFolder? folder)
    {
        var (width, height) = DefaultSize(settings, folder);
        return RoundUp(Math.Min(settings.MinSize, Math.Min(width, height)), folder?.PixelMultiple ?? 8);
    }

    private static ModelParameter Output(string name, string description) =>
        new(name, "integer", description) { Minimum = 8, Maximum = LargestOutput };

    public static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;

    /// <summary>A flow has no noise schedule that the others could use.</summary>
    private static IReadOnlyList<string> Samplers(DiffusionFolder? folder) => folder?.Scheduler.Class == SamplerNames.Flow ? ["flow-euler"] : SamplerNames.All;
}
