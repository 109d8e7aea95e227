using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Tensors;

/// <summary>Numbers in, numbers out: the network as it is, in the JSON form of the Open Inference Protocol v2.</summary>
internal sealed class TensorTask(IRuntime runtime) : ITask, ITensorTask
{
    /// <summary>
    /// Nothing is known of the network but its input: the first two maps of a picture network are 64 channels at half the
    /// side each, 5⅓ times the picture.
    /// </summary>
    private const int Growth = 12;

    public IRuntime? Network => runtime;

    public MemoryNeed MemoryOf(IReadOnlyList<Tensor> inputs)
    {
        var bytes = 0L;
        foreach (var tensor in inputs)
        {
            bytes += tensor.Bytes.Length;
        }

        return new MemoryNeed(bytes * Growth, "inputs", Usual: true);
    }

    /// <summary>A number takes some ten letters in JSON and four bytes in a tensor.</summary>
    public MemoryNeed MemoryOf(TaskInput input) =>
        input.Files.TryGetValue("inputs", out var file) ? new MemoryNeed((long)file.Bytes.Length / 10 * 4 * Growth, "input.inputs", Usual: true) : default;

    public static TaskKind Kind { get; } = new(
        TaskNames.Tensor,
        static (_, _) => { },
        static _ => [("", "model.onnx")],
        static _ => new TaskContract(
            TaskNames.Tensor,
            [new ModelInput("inputs", "json", Required: true, "Array of tensors {name, shape, datatype, data}, as in the Open Inference Protocol v2")],
            []),
        static async (_, source, _, cancellationToken) => new TensorTask(await source.OpenAsync("model.onnx", cancellationToken).ConfigureAwait(false)));

    public async Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken)
    {
        var timings = new TaskTimings();
        if (!input.Files.TryGetValue("inputs", out var file))
        {
            throw new InputException("input.inputs", "is missing; send an array of tensors {name, shape, datatype, data}");
        }

        using var tensors = await Task.Run(() => TensorJson.Read(file.Bytes, runtime.Inputs), cancellationToken).ConfigureAwait(false);
        timings.End("preprocessMs");
        using var outputs = await runtime.InferAsync(tensors, cancellationToken).ConfigureAwait(false);
        timings.End("inferMs");
        return new TaskResult(
            TaskJson.Object(json =>
            {
                TensorJson.Write(json, outputs);
                timings.End("postprocessMs");
                timings.Write(json);
            }),
            []);
    }

    public ValueTask DisposeAsync() => runtime.DisposeAsync();
}
