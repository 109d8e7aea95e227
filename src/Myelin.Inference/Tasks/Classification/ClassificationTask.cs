using System.Globalization;
using System.Text.Json;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks.Images;

namespace Myelin.Inference.Tasks.Classification;

/// <summary>Picture → the classes it most likely shows. No state between calls but the runtime.</summary>
internal sealed class ClassificationTask(
    ClassificationSettings settings, IReadOnlyList<string> labels, ImagePreprocessor preprocessor, IRuntime runtime, ImagingLimits limits) : ITask
{
    public static TaskKind Kind { get; } = new(
        TaskNames.ImageClassification,
        ClassificationSettings.Check,
        static _ => [("", "model.onnx")],
        Contract,
        CreateAsync);

    public async Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken)
    {
        var parameters = new Parameters(input.Parameters);
        var annotate = parameters.Flag("annotate", true);
        var timings = new TaskTimings();
        using var picture = await Task.Run(
            () => ImageFile.Decode(input, limits, enough: annotate ? null : preprocessor.Enough), cancellationToken).ConfigureAwait(false);
        timings.End("decodeMs");
        cancellationToken.ThrowIfCancellationRequested();
        using var tensor = preprocessor.Run(picture, runtime, out _);
        timings.End("preprocessMs");
        List<(int ClassId, float Score)> classes;
        using (var outputs = await runtime.InferAsync([tensor], cancellationToken).ConfigureAwait(false))
        {
            timings.End("inferMs");
            classes = Best(outputs[0].As<float>(), parameters);
        }

        timings.End("postprocessMs");
        cancellationToken.ThrowIfCancellationRequested();
        List<TaskArtifact> artifacts = [];
        if (annotate)
        {
            var overlay = new Overlay(picture.OriginalWidth, picture.OriginalHeight);
            overlay.Caption([.. classes.Where(found => found.Score >= 0.01).Take(5).Select(found => (
                string.Create(CultureInfo.InvariantCulture, $"{labels[found.ClassId]} {Math.Round(found.Score * 100)}%"), Palette.Of(found.ClassId)))]);
            artifacts.Add(new TaskArtifact("annotated.jpg", "image/jpeg", overlay.Render(picture, limits)));
        }

        timings.End("annotateMs");
        return new TaskResult(TaskJson.Object(json => Write(json, picture, classes, timings)), artifacts);
    }

    /// <summary>The decoded picture, and what is drawn on it.</summary>
    public MemoryNeed MemoryOf(TaskInput input) => ImageFile.Memory(input, limits, bytesPerPixel: 7);

    public ValueTask DisposeAsync() => runtime.DisposeAsync();

    private static TaskContract Contract(ModelDefinition definition)
    {
        var settings = TaskLoader.Bind(definition, ClassificationSettings.Bind);
        return new TaskContract(
            TaskNames.ImageClassification,
            [ParameterSpecs.Image],
            [
                ParameterSpecs.Threshold(settings.Threshold),
                ParameterSpecs.Integer("topK", "Most classes reported, best first", 1, 1000, settings.TopK),
                ParameterSpecs.Annotate(),
            ]);
    }

    private static async Task<ITask> CreateAsync(ModelDefinition definition, IRuntimeSource source, ImagingLimits limits, CancellationToken cancellationToken)
    {
        var settings = TaskLoader.Bind(definition, ClassificationSettings.Bind);
        return TaskLoader.Use(
            await source.OpenAsync("model.onnx", cancellationToken).ConfigureAwait(false),
            runtime =>
            {
                var preprocessor = TaskLoader.Preprocessor(settings.Input, runtime, Misfit(runtime.Outputs, definition.Labels.Count));
                return new ClassificationTask(settings, definition.Labels, preprocessor, runtime, limits);
            });
    }

    /// <summary>One output, a score for each label; the first dimension is the batch, others may be ones.</summary>
    private static ModelError[] Misfit(IReadOnlyList<TensorSpec> outputs, int labels)
    {
        if (outputs is [{ Type: ElementType.Float32, Shape: { Length: > 0 } shape }]
            && (shape.Skip(1).Any(length => length < 0) || Tensor.Elements(shape.AsSpan(1)) == labels))
        {
            return [];
        }

        var given = string.Join(", ", outputs.Select(o => $"{o.Name} {o.Type.WireName()} [{string.Join(',', o.Shape)}]"));
        return [new ModelError("model.yaml", "labels", $"there are {labels} labels; the network must have one FP32 output of as many scores, and has {given}")];
    }

    private List<(int ClassId, float Score)> Best(Span<float> scores, Parameters parameters)
    {
        if (scores.Length != labels.Count)
        {
            throw new RuntimeException($"the network gave {scores.Length} scores for {labels.Count} labels", retryable: false);
        }

        if (settings.Softmax)
        {
            System.Numerics.Tensors.TensorPrimitives.SoftMax(scores, scores);
        }

        var threshold = parameters.Number("threshold", settings.Threshold);
        var ranked = new List<(int ClassId, float Score)>(scores.Length);
        for (var index = 0; index < scores.Length; index++)
        {
            if (scores[index] >= threshold)
            {
                ranked.Add((index, scores[index]));
            }
        }

        ranked.Sort(static (a, b) => b.Score.CompareTo(a.Score));
        var most = parameters.Integer("topK", settings.TopK);
        return ranked.Count <= most ? ranked : ranked.GetRange(0, most);
    }

    private void Write(Utf8JsonWriter json, Picture picture, List<(int ClassId, float Score)> classes, TaskTimings timings)
    {
        json.WriteNumber("width", picture.OriginalWidth);
        json.WriteNumber("height", picture.OriginalHeight);
        json.WriteStartArray("classes");
        foreach (var (classId, score) in classes)
        {
            json.WriteStartObject();
            json.WriteString("label", labels[classId]);
            json.WriteNumber("classId", classId);
            json.WriteNumber("score", TaskJson.Score(score));
            json.WriteEndObject();
        }

        json.WriteEndArray();
        timings.Write(json);
    }
}
