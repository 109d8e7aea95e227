using System.Globalization;
using System.Text.Json;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks.Images;

namespace Myelin.Inference.Tasks.Detection;

/// <summary>
/// Picture → boxes. Decode, scale, infer, decode the outputs, suppress overlaps, map back, draw. Holds no state
/// between calls but the runtime, so one picture is decoded while another is inferred.
/// </summary>
internal sealed class DetectionTask : ITask
{
    private readonly DetectionSettings _settings;
    private readonly IReadOnlyList<string> _labels;
    private readonly IDetectionDecoder _decoder;
    private readonly ImagePreprocessor _preprocessor;
    private readonly IRuntime _runtime;
    private readonly ImagingLimits _limits;

    private DetectionTask(DetectionSettings settings, IReadOnlyList<string> labels, ImagePreprocessor preprocessor, IRuntime runtime, ImagingLimits limits) =>
        (_settings, _labels, _decoder, _preprocessor, _runtime, _limits) = (settings, labels, settings.ToDecoder(), preprocessor, runtime, limits);

    public static TaskKind Kind { get; } = new(
        TaskNames.ObjectDetection,
        DetectionSettings.Check,
        static _ => [("", "model.onnx")],
        Contract,
        CreateAsync);

    public async Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken)
    {
        var parameters = new Parameters(input.Parameters);
        var annotate = parameters.Flag("annotate", true);
        var timings = new TaskTimings();

        // Off the caller's thread: what follows is tens of milliseconds of arithmetic before the first wait.
        using var picture = await Task.Run(
            () => ImageFile.Decode(input, _limits, enough: annotate ? null : _preprocessor.Enough), cancellationToken).ConfigureAwait(false);
        timings.End("decodeMs");
        cancellationToken.ThrowIfCancellationRequested();
        using var tensor = _preprocessor.Run(picture, _runtime, out var fit);
        timings.End("preprocessMs");
        List<Detection> found;
        using (var outputs = await _runtime.InferAsync([tensor], cancellationToken).ConfigureAwait(false))
        {
            timings.End("inferMs");
            found = Read(outputs, parameters, fit, picture);
        }

        timings.End("postprocessMs");
        cancellationToken.ThrowIfCancellationRequested();
        List<TaskArtifact> artifacts = [];
        if (annotate)
        {
            artifacts.Add(new TaskArtifact("annotated.jpg", "image/jpeg", Draw(picture, found)));
        }

        timings.End("annotateMs");
        return new TaskResult(TaskJson.Object(json => Write(json, picture, found, timings)), artifacts);
    }

    /// <summary>The decoded picture, and what is drawn on it.</summary>
    public MemoryNeed MemoryOf(TaskInput input) => ImageFile.Memory(input, _limits, bytesPerPixel: 7);

    public ValueTask DisposeAsync() => _runtime.DisposeAsync();

    private static TaskContract Contract(ModelDefinition definition)
    {
        var settings = TaskLoader.Bind(definition, DetectionSettings.Bind);
        return new TaskContract(
            TaskNames.ObjectDetection,
            [ParameterSpecs.Image],
            [
                ParameterSpecs.Threshold(settings.Threshold),
                ParameterSpecs.Number("iou", "Overlap, 0 to 1, above which the weaker of two finds of a class is dropped", 0, 1, settings.Iou),
                ParameterSpecs.Integer("maxDetections", "Most finds reported, best first", 1, 10_000, settings.MaxDetections),
                ParameterSpecs.Annotate(),
            ]);
    }

    private static async Task<ITask> CreateAsync(ModelDefinition definition, IRuntimeSource source, ImagingLimits limits, CancellationToken cancellationToken)
    {
        var settings = TaskLoader.Bind(definition, DetectionSettings.Bind);
        return TaskLoader.Use(
            await source.OpenAsync("model.onnx", cancellationToken).ConfigureAwait(false),
            runtime =>
            {
                var misfit = settings.ToDecoder().Misfit(runtime.Outputs, settings.Input.Width, settings.Input.Height, definition.Labels.Count);
                var preprocessor = TaskLoader.Preprocessor(settings.Input, runtime, misfit is null ? [] : [new ModelError("model.yaml", "output.decoder", misfit)]);
                return new DetectionTask(settings, definition.Labels, preprocessor, runtime, limits);
            });
    }

    private List<Detection> Read(TensorSet outputs, Parameters parameters, PictureFit fit, Picture picture)
    {
        var candidates = new List<Detection>();
        _decoder.Decode(outputs, _preprocessor.Enough.Width, _preprocessor.Enough.Height, (float)parameters.Number("threshold", _settings.Threshold), candidates);
        var kept = NonMaximumSuppression.Run(
            candidates, (float)parameters.Number("iou", _settings.Iou), parameters.Integer("maxDetections", _settings.MaxDetections));
        var mapped = new List<Detection>(kept.Count);
        foreach (var detection in kept)
        {
            var result = detection with
            {
                X1 = Math.Clamp(fit.X(detection.X1), 0, picture.OriginalWidth),
                Y1 = Math.Clamp(fit.Y(detection.Y1), 0, picture.OriginalHeight),
                X2 = Math.Clamp(fit.X(detection.X2), 0, picture.OriginalWidth),
                Y2 = Math.Clamp(fit.Y(detection.Y2), 0, picture.OriginalHeight),
                Keypoints = Map(detection.Keypoints, fit),
            };
            if (result.Area > 0)
            {
                mapped.Add(result); // what is left of a find outside the picture is no find
            }
        }

        return mapped;
    }

    private static float[]? Map(float[]? points, PictureFit fit) =>
        points is null ? null : [.. points.Select((value, index) => index % 2 == 0 ? fit.X(value) : fit.Y(value))];

    private byte[] Draw(Picture picture, List<Detection> found)
    {
        var overlay = new Overlay(picture.OriginalWidth, picture.OriginalHeight);
        foreach (var detection in found.OrderByDescending(detection => detection.Area))
        {
            var colour = Palette.Of(detection.ClassId);
            var label = string.Create(CultureInfo.InvariantCulture, $"{_labels[detection.ClassId]} {Math.Round(detection.Score * 100)}%");
            overlay.Box(detection.X1, detection.Y1, detection.X2 - detection.X1, detection.Y2 - detection.Y1, colour, label);
            overlay.Dots(detection.Keypoints, colour);
        }

        return overlay.Render(picture, _limits);
    }

    private void Write(Utf8JsonWriter json, Picture picture, List<Detection> found, TaskTimings timings)
    {
        json.WriteNumber("width", picture.OriginalWidth);
        json.WriteNumber("height", picture.OriginalHeight);
        json.WriteStartArray("detections");
        foreach (var detection in found)
        {
            json.WriteStartObject();
            json.WriteString("label", _labels[detection.ClassId]);
            json.WriteNumber("classId", detection.ClassId);
            json.WriteNumber("score", TaskJson.Score(detection.Score));
            TaskJson.Box(json, "box", detection.X1, detection.Y1, detection.X2, detection.Y2);
            WriteKeypoints(json, detection.Keypoints);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        if (_decoder.Keypoints.Count > 0)
        {
            json.WriteStartArray("keypointNames");
            foreach (var name in _decoder.Keypoints)
            {
                json.WriteStringValue(name);
            }

            json.WriteEndArray();
        }

        timings.Write(json);
    }

    // As COCO writes them: x, y, visibility (2: labelled and visible) for each point.
    private static void WriteKeypoints(Utf8JsonWriter json, float[]? points)
    {
        if (points is null)
        {
            return;
        }

        json.WriteStartArray("keypoints");
        for (var at = 0; at < points.Length; at += 2)
        {
            json.WriteNumberValue(TaskJson.Pixel(points[at]));
            json.WriteNumberValue(TaskJson.Pixel(points[at + 1]));
            json.WriteNumberValue(2);
        }

        json.WriteEndArray();
    }
}
