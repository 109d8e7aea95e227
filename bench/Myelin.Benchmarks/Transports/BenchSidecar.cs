using System.Diagnostics;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Protocol;
using Myelin.Sidecar;

namespace Myelin.Benchmarks.Transports;

/// <summary>A sidecar process that serves what the bench calls; this program itself, started with <c>sidecar</c>, or a Python one.</summary>
internal sealed class BenchSidecar : IAsyncDisposable
{
    private readonly Process _process;

    public BenchSidecar(string program, string[] arguments, params string[] addresses)
    {
        var start = new ProcessStartInfo(program, arguments);
        start.Environment[SidecarHost.ListenVariable] = string.Join(' ', addresses);
        _process = Process.Start(start)!;
    }

    /// <summary>The other end: every network of a folder by its file's name, but <c>identity</c> as a class, as Python has it.</summary>
    public static Task<int> ServeAsync(string folder)
    {
        var networks = Directory.GetFiles(folder, "*.onnx").Order().Select(file => (Name: Path.GetFileNameWithoutExtension(file), File: file));
        return SidecarHost.RunAsync([], [new Identity(), new Pause(), .. networks.Where(network => network.Name != "identity").Select(network => new OnnxModel(network.Name, network.File, new OnnxOptions()))]);
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    /// <summary>Gives back what it gets: one copy, what a network does at the least.</summary>
    private sealed class Identity : SidecarModel
    {
        public override string Name => "identity";

        public override int Concurrency => 16;

        public override ValueTask<TensorSet> InferAsync(SidecarCall call, CancellationToken cancellationToken)
        {
            var x = call.Inputs[0];
            var y = call.Rent("y", x.Type, x.Shape);
            x.Bytes.CopyTo(y.Bytes);
            return new(new TensorSet([y]));
        }
    }

    /// <summary>A model of 5 ms that needs no processor: what is left of a second is the system's.</summary>
    private sealed class Pause : SidecarModel
    {
        public override string Name => "pause";

        public override IReadOnlyList<TensorSpec> Inputs { get; } = [new("x", ElementType.Float32, [1])];

        public override IReadOnlyList<TensorSpec> Outputs { get; } = [new("y", ElementType.Float32, [1])];

        public override int Concurrency => 1;

        public override async ValueTask<TensorSet> InferAsync(SidecarCall call, CancellationToken cancellationToken)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(5), cancellationToken);
            return new TensorSet([call.Rent("y", ElementType.Float32, 1)]);
        }
    }
}
