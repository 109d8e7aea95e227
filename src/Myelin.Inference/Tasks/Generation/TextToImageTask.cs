using System.Text.Json;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks.Generation.Pipeline;

namespace Myelin.Inference.Tasks.Generation;

/// <summary>Words (and a picture) → pictures. Jobs share the networks and nothing else.</summary>
internal sealed class TextToImageTask(
    string model, TextToImageInput reader, DiffusionPipeline pipeline, LatentColours colours, TimeProvider time) : ITask
{
    public static TaskKind Kind { get; } = new(
        TaskNames.TextToImage,
        static (settings, _) => TextToImageSettings.Bind(settings),
        static _ => [("", "model_index.json"), ("", "scheduler/scheduler_config.json"), ("", "unet/model.onnx"), ("", "vae_decoder/model.onnx")],
        TextToImageContract.For,
        CreateAsync);

    public async Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken)
    {
        var (started, meter) = (time.GetTimestamp(), new RuntimeMeter());
        var request = await Task.Run(() => reader.Read(input), cancellationToken).ConfigureAwait(false);
        var text = await pipeline.ConditionAsync(request, meter, cancellationToken).ConfigureAwait(false);
        var conditioned = time.GetElapsedTime(started);
        var report = new GenerationProgress(request, colours, pipeline.Folder.Latent.Factor, progress, time);
        var (artifacts, encoding) = (new List<TaskArtifact>(), TimeSpan.Zero);
        for (var index = 0; index < request.Count; index++)
        {
            var picture = index;
            var pixels = await RunAsync(request, text, picture, meter, step => report.Report(picture, step), cancellationToken).ConfigureAwait(false);
            var before = time.GetTimestamp();
            artifacts.Add(Encode(request, index, pixels));
            encoding += time.GetElapsedTime(before);
        }

        return new TaskResult(TaskJson.Object(json => Write(json, request, artifacts, new Times(conditioned, encoding, time.GetElapsedTime(started), meter))), artifacts);
    }

    public MemoryNeed MemoryOf(TaskInput input) => reader.MemoryOf(input);

    public ValueTask DisposeAsync() => pipeline.DisposeAsync();

    private async Task<float[]> RunAsync(
        GenerationRequest request, (Conditioning, Conditioning?) text, int index, RuntimeMeter meter, Action<GenerationStep> stepped, CancellationToken cancellationToken)
    {
        float[]? last = null;
        var pixels = await pipeline.RunAsync(request, text, index, meter, step =>
        {
            stepped(step);
            last = step.Done == step.Total ? step.Latent.ToArray() : null;
        }, cancellationToken).ConfigureAwait(false);
        var factor = pipeline.Folder.Latent.Factor;
        colours.Learn(last, pixels, (request.Height / factor, request.Width / factor), factor);
        return pixels;
    }

    private TaskArtifact Encode(GenerationRequest request, int index, float[] pixels)
    {
        using var made = new Picture(request.Width, request.Height, request.Width, request.Height, RgbPlanes.ToBytes(pixels), NoOwner.Instance);
        var fit = PictureFit.Of(FitMode.Crop, made.Width, made.Height, request.Output.Width, request.Output.Height, centred: true, cropRatio: 1);
        using var scaled = PictureScaler.Scale(made, fit, request.Output.Width, request.Output.Height);
        var png = PictureEncoder.Encode(scaled.Pixels, request.Output.Width, request.Output.Height, PictureFormat.Png);
        return new TaskArtifact($"image-{index + 1}.png", "image/png", PngText.Insert(png, "parameters", GenerationText.Of(request, model, index)));
    }

    private static async Task<ITask> CreateAsync(ModelDefinition definition, IRuntimeSource source, ImagingLimits limits, CancellationToken cancellationToken)
    {
        var settings = TaskLoader.Bind(definition, TextToImageSettings.Bind);
        settings = settings with { Components = settings.Components with { Instances = definition.Instances.Count } };
        try
        {
            return await LoadAsync(definition, settings, source, limits, cancellationToken).ConfigureAwait(false);
        }
        catch (ModelException fault)
        {
            throw new ModelException([.. fault.Errors.Select(e => e with { File = e.File == "model.yaml" ? e.File : $"{definition.Revision}/{e.File}" })]);
        }
    }

    private static async Task<TextToImageTask> LoadAsync(
        ModelDefinition definition, TextToImageSettings settings, IRuntimeSource source, ImagingLimits limits, CancellationToken cancellationToken)
    {
        var time = TimeProvider.System;
        var pipeline = await DiffusionPipeline.LoadAsync(
            definition.Folder, settings.Components, source, time, cancellationToken).ConfigureAwait(false);
        try
        {
            var colours = await LatentColours.MakeAsync(pipeline.Folder, pipeline.Autoencoder, cancellationToken).ConfigureAwait(false);
            var contract = TextToImageContract.Of(settings, pipeline.Folder);
            return new TextToImageTask(definition.Name, new TextToImageInput(settings, pipeline.Folder, contract, limits), pipeline, colours, time);
        }
        catch
        {
            await pipeline.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private static void Write(Utf8JsonWriter json, GenerationRequest request, List<TaskArtifact> artifacts, Times times)
    {
        json.WriteStartArray("images");
        foreach (var artifact in artifacts)
        {
            json.WriteStartObject();
            json.WriteString("artifact", artifact.Name);
            json.WriteNumber("seed", request.Seed);
            json.WriteNumber("width", request.Output.Width);
            json.WriteNumber("height", request.Output.Height);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartObject("parameters");
        json.WriteString("prompt", request.Prompt);
        json.WriteString("negativePrompt", request.NegativePrompt ?? "");
        json.WriteNumber("steps", request.Steps);
        json.WriteNumber("guidance", request.Guidance);
        json.WriteString("sampler", request.Sampler);
        json.WriteNumber("seed", request.Seed);
        json.WriteNumber("width", request.Width);
        json.WriteNumber("height", request.Height);
        if (request.Resized)
        {
            json.WriteNumber("outputWidth", request.Output.Width);
            json.WriteNumber("outputHeight", request.Output.Height);
        }

        json.WriteNumber("count", request.Count);
        if (request.Image is not null)
        {
            json.WriteNumber("strength", request.Strength);
        }

        json.WriteEndObject();
        if (request.Resized)
        {
            json.WriteString("notice", $"made at {request.Width}×{request.Height}, the size of this network, and brought to {request.Output.Width}×{request.Output.Height}");
        }

        times.Write(json);
    }

    /// <summary>The collector's.</summary>
    private sealed class NoOwner : IDisposable
    {
        public static readonly NoOwner Instance = new();

        public void Dispose()
        {
        }
    }

    private sealed record Times(TimeSpan Conditioned, TimeSpan Encoding, TimeSpan Total, RuntimeMeter Meter)
    {
        public void Write(Utf8JsonWriter json)
        {
            json.WriteStartObject("timings");
            json.WriteNumber("conditionMs", Milliseconds(Conditioned));
            json.WriteNumber("denoiseMs", Milliseconds(Total - Conditioned - Encoding));
            json.WriteNumber("encodeMs", Milliseconds(Encoding));
            json.WriteNumber("totalMs", Milliseconds(Total));
            json.WriteNumber("runtimeMs", Milliseconds(Meter.Total));
            json.WriteNumber("runtimeShare", Math.Round(Meter.Total / Total, 4));
            json.WriteEndObject();
        }

        private static double Milliseconds(TimeSpan time) => Math.Round(time.TotalMilliseconds, 3);
    }
}
