using System.Numerics;
using System.Text;
using System.Text.Json;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks.Images;

namespace Myelin.Inference.Tasks.Text;

/// <summary>Picture → the text on it: find lines, cut them out upright, read them in batches. Owns both networks.</summary>
internal sealed class TextRecognitionTask : ITask
{
    private readonly TextSettings _settings;
    private readonly TextDetector _detector;
    private readonly LineReader _reader;
    private readonly IRuntime[] _runtimes;
    private readonly ImagingLimits _limits;

    private TextRecognitionTask(TextSettings settings, IReadOnlyList<string> symbols, IRuntime detection, IRuntime reading, ImagingLimits limits)
    {
        (_settings, _limits) = (settings, limits);
        _detector = new TextDetector(settings.Detection, detection);
        _reader = new LineReader(settings.Reading, symbols, reading);
        _runtimes = [detection, reading];
    }

    public static TaskKind Kind { get; } = new(
        TaskNames.TextRecognition,
        static (reader, _) => TextSettings.Bind(reader),
        static definition =>
        {
            var settings = TextSettings.Bind(new SettingsReader("model.yaml", definition.Settings, []));
            return [("detection.file", settings.Detection.File), ("recognition.file", settings.Reading.File), ("recognition.keys", settings.Reading.Keys)];
        },
        Contract,
        CreateAsync);

    public async Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken)
    {
        var parameters = new Parameters(input.Parameters);
        var timings = new TaskTimings();
        using var picture = await Task.Run(() => ImageFile.Decode(input, _limits), cancellationToken).ConfigureAwait(false);
        timings.End("decodeMs");
        var quads = await _detector.FindAsync(picture, cancellationToken).ConfigureAwait(false);
        timings.End("detectMs");
        var lines = quads.ConvertAll(quad => Perspective.Cut(picture.Pixels.Span, picture.Width, picture.Height, quad));
        timings.End("rectifyMs");
        var readings = await _reader.ReadAsync(lines, cancellationToken).ConfigureAwait(false);
        var threshold = parameters.Number("threshold", _settings.Reading.Threshold);
        var regions = readings.Zip(quads, (reading, quad) => new TextRegion(reading.Text, reading.Score, quad))
            .Where(region => region.Text.Length > 0 && region.Score >= threshold)
            .ToList();
        timings.End("inferMs");
        cancellationToken.ThrowIfCancellationRequested();
        List<TaskArtifact> artifacts = [];
        if (parameters.Flag("annotate", true))
        {
            artifacts.Add(new TaskArtifact("annotated.jpg", "image/jpeg", Draw(picture, regions)));
        }

        timings.End("annotateMs");
        return new TaskResult(TaskJson.Object(json => Write(json, picture, regions, timings)), artifacts);
    }

    /// <summary>The decoded picture and what is drawn on it, one strip in the detector, some lines in the reader.</summary>
    public MemoryNeed MemoryOf(TaskInput input) => ImageFile.Size(input, _limits) is var (width, height)
        ? new MemoryNeed(_detector.MemoryOf(width, height) + (7L * width * height) + (64 << 20), "input.image", "Send a smaller picture")
        : default;

    public async ValueTask DisposeAsync()
    {
        foreach (var runtime in _runtimes)
        {
            await runtime.DisposeAsync().ConfigureAwait(false);
        }
    }

    private static TaskContract Contract(ModelDefinition definition)
    {
        var settings = TaskLoader.Bind(definition, TextSettings.Bind);
        return new TaskContract(
            TaskNames.TextRecognition, [ParameterSpecs.Image], [ParameterSpecs.Threshold(settings.Reading.Threshold), ParameterSpecs.Annotate()]);
    }

    private static async Task<ITask> CreateAsync(ModelDefinition definition, IRuntimeSource source, ImagingLimits limits, CancellationToken cancellationToken)
    {
        var settings = TaskLoader.Bind(definition, TextSettings.Bind);
        string[] symbols = ["", .. File.ReadAllLines(Path.Combine(definition.Folder, settings.Reading.Keys)), " "];
        var detection = await source.OpenAsync(settings.Detection.File, cancellationToken).ConfigureAwait(false);
        try
        {
            return TaskLoader.Use(await source.OpenAsync(settings.Reading.File, cancellationToken).ConfigureAwait(false), reading =>
            {
                if (TextDetector.Misfit(detection) is { } first)
                {
                    throw TaskLoader.Misfit("detection.file", first);
                }

                if (LineReader.Misfit(reading, settings.Reading, symbols.Length) is { } second)
                {
                    throw TaskLoader.Misfit("recognition.keys", second);
                }

                return new TextRecognitionTask(settings, symbols, detection, reading, limits);
            });
        }
        catch
        {
            await detection.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private byte[] Draw(Picture picture, List<TextRegion> regions)
    {
        var overlay = new Overlay(picture.OriginalWidth, picture.OriginalHeight);
        for (var index = 0; index < regions.Count; index++)
        {
            overlay.Reading(regions[index].Quad, Palette.Of(index), regions[index].Text);
        }

        return overlay.Render(picture, _limits);
    }

    private static void Write(Utf8JsonWriter json, Picture picture, List<TextRegion> regions, TaskTimings timings)
    {
        json.WriteNumber("width", picture.OriginalWidth);
        json.WriteNumber("height", picture.OriginalHeight);
        json.WriteString("text", Joined(regions));
        json.WriteStartArray("regions");
        foreach (var region in regions)
        {
            json.WriteStartObject();
            json.WriteString("text", region.Text);
            json.WriteNumber("score", TaskJson.Score(region.Score));
            TaskJson.Box(json, "box", region.Quad.Min(c => c.X), region.Top, region.Quad.Max(c => c.X), region.Bottom);
            json.WriteStartArray("quad");
            foreach (var corner in region.Quad)
            {
                json.WriteStartArray();
                json.WriteNumberValue(TaskJson.Pixel(corner.X));
                json.WriteNumberValue(TaskJson.Pixel(corner.Y));
                json.WriteEndArray();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        timings.Write(json);
    }

    /// <summary>Regions side by side make a line, lines are separated by line feeds.</summary>
    private static string Joined(List<TextRegion> regions)
    {
        var text = new StringBuilder();
        for (var index = 0; index < regions.Count; index++)
        {
            if (index > 0)
            {
                var (previous, middle) = (regions[index - 1], (regions[index].Top + regions[index].Bottom) / 2);
                text.Append(middle > previous.Top && middle < previous.Bottom ? ' ' : '\n');
            }

            text.Append(regions[index].Text);
        }

        return text.ToString();
    }

    private sealed record TextRegion(string Text, float Score, Vector2[] Quad)
    {
        public float Top { get; } = Quad.Min(corner => corner.Y);

        public float Bottom { get; } = Quad.Max(corner => corner.Y);
    }
}
