namespace Myelin.Inference.Runtimes.Onnx;

/// <summary>Networks in ONNX files of a revision's folder, executed in this process.</summary>
public sealed class OnnxRuntimeSource(string folder, OnnxOptions options) : IRuntimeSource
{
    public string? DeclaredTask => null;

    public bool ComputesHere => options.Device == "cpu";

    public async ValueTask<IRuntime> OpenAsync(string file, CancellationToken cancellationToken) =>
        await Task.Run(() => OnnxRuntime.Load(Path.Combine(folder, file), options), cancellationToken).ConfigureAwait(false);

    public bool Has(string file) => File.Exists(Path.Combine(folder, file));

    /// <summary>The file's folder: large networks keep their weights in files beside them.</summary>
    public long Bytes(string file) => Path.GetDirectoryName(Path.Combine(folder, file)) is { } beside && Directory.Exists(beside)
        ? new DirectoryInfo(beside).EnumerateFiles().Sum(f => f.Length)
        : 0;

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
