using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Tensors;

/// <summary>Numbers in, numbers out: the network as it is, in the JSON form of the Open Inference Protocol v2.</summary>
internal sealed class TensorTask(IRuntime runtime) : ITask, ITensorTask
{
    public IRuntime? Network => runtime;

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
