using System.Diagnostics;
using System.Text.Json;
using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Sidecars;

/// <summary>
/// A task that a sidecar does whole: input files go there as UINT8 tensors by part name, the parameters as a UINT8
/// tensor of JSON; <c>result</c> comes back as JSON and every other output as an artifact, named as its file.
/// </summary>
internal sealed class SidecarTask(string model, IRuntime runtime) : ITask
{
    private const string Parameters = "parameters";
    private const string Result = "result";

    /// <summary>The result becomes a row's JSON: as for numbers of other tasks, what is larger belongs into an artifact.</summary>
    private const int MaxResultBytes = 64 << 20;

    /// <summary>Of an artifact: with what the server puts before it a stored blob's name has room for it.</summary>
    internal const int MaxNameLength = 100;

    public async Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken)
    {
        var tensors = new List<Tensor>(input.Files.Count + 1);
        try
        {
            foreach (var (name, file) in input.Files)
            {
                tensors.Add(Copy(name, file.Bytes.Span));
            }

            tensors.Add(Copy(Parameters, input.Parameters.ValueKind == JsonValueKind.Object ? JsonSerializer.SerializeToUtf8Bytes(input.Parameters, JsonContext.Default.JsonElement) : "{}"u8));
            using var outputs = await runtime.InferAsync(tensors, new Steps(progress), cancellationToken).ConfigureAwait(false);
            return Read(outputs);
        }
        finally
        {
            tensors.ForEach(tensor => tensor.Dispose());
        }
    }

    public ValueTask DisposeAsync() => runtime.DisposeAsync();

    private Tensor Copy(string name, ReadOnlySpan<byte> bytes)
    {
        var tensor = runtime.Rent(name, ElementType.UInt8, bytes.Length);
        bytes.CopyTo(tensor.Bytes.Span);
        return tensor;
    }

    /// <summary>Copies out: the outputs' memory is the runtime's, artifacts outlive the call.</summary>
    private TaskResult Read(TensorSet outputs)
    {
        ReadOnlyMemory<byte>? result = null;
        var artifacts = new List<TaskArtifact>();
        foreach (var tensor in outputs)
        {
            if (tensor.Type != ElementType.UInt8)
            {
                throw Wrong($"gave '{tensor.Name}' as {tensor.Type.WireName()}; results and artifacts are UINT8");
            }

            if (tensor.Name == Result)
            {
                result = Json(tensor.Bytes.Span);
            }
            else if (!IsFileName(tensor.Name) || artifacts.Exists(a => a.Name == tensor.Name))
            {
                throw Wrong($"gave an artifact named '{tensor.Name}'; a name is a file's, of at most {MaxNameLength} letters, digits, '.', '-' and '_', does not begin with '.', and stands once");
            }
            else
            {
                artifacts.Add(new TaskArtifact(tensor.Name, ContentTypes.Of(tensor.Name), tensor.Bytes.ToArray()));
            }
        }

        return new TaskResult(result ?? throw Wrong($"gave no tensor '{Result}'"), artifacts);
    }

    private ReadOnlyMemory<byte> Json(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > MaxResultBytes)
        {
            throw Wrong($"gave a result of {bytes.Length} bytes; give large things as artifacts");
        }

        try
        {
            var reader = new Utf8JsonReader(bytes, new JsonReaderOptions { MaxDepth = Limits.JsonDepth });
            if (reader.Read() && reader.TokenType == JsonTokenType.StartObject)
            {
                reader.Skip();
                if (!reader.Read())
                {
                    return bytes.ToArray();
                }
            }

            throw Wrong($"gave a '{Result}' that is no JSON object");
        }
        catch (JsonException fault)
        {
            throw Wrong($"gave a '{Result}' that is no JSON: {fault.Message}");
        }
    }

    private static bool IsFileName(string name) =>
        name.Length is > 0 and <= MaxNameLength && name[0] != '.' && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_');

    private RuntimeException Wrong(string what) => new($"the sidecar of {model} {what}", retryable: false);

    /// <summary>Steps of the runtime as steps of the job.</summary>
    private sealed class Steps(IProgress<TaskProgress> progress) : IProgress<RuntimeProgress>
    {
        private readonly long _started = Stopwatch.GetTimestamp();

        public void Report(RuntimeProgress value) => progress.Report(new TaskProgress(
            value.Step,
            value.Steps,
            value.Step > 0 ? Stopwatch.GetElapsedTime(_started).TotalSeconds / value.Step : null,
            value.Preview.IsEmpty ? null : value.Preview));
    }
}
