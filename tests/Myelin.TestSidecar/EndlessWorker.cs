using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Http;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol;
using Myelin.Protocol.Sidecars;

namespace Myelin.TestSidecar;

/// <summary>A worker that takes every place of <c>sleep</c>, calls without end and holds answers, until somebody kills it.</summary>
internal static class EndlessWorker
{
    /// <param name="address">Of the sidecar.</param>
    /// <param name="kind"><c>ring</c>, <c>inline</c>, <c>http</c> or <c>h2c</c>.</param>
    public static async Task<int> RunAsync(string address, string kind)
    {
        var sleep = await OpenAsync(address, kind, "sleep");
        var identity = await OpenAsync(address, kind, "identity");
        var minute = Tensor.Of<long>("ms", ElementType.Int64, [60_000], 1);
        for (var place = 0; place < ConformanceModels.Concurrency; place++)
        {
            _ = sleep.InferAsync([minute], CancellationToken.None).AsTask();
        }

        var held = new Queue<TensorSet>();
        for (var size = 1000; ; size = (size * 7 % 1_000_001) + 1)
        {
            using var x = identity.Rent("x", ElementType.UInt8, size);
            held.Enqueue(await identity.InferAsync([x], CancellationToken.None));
            if (held.Count == 10)
            {
                Console.WriteLine("busy"); // says that there is something to lose
            }

            if (held.Count > 20)
            {
                held.Dequeue().Dispose();
            }
        }
    }

    private static async Task<IRuntime> OpenAsync(string text, string kind, string model)
    {
        var address = SidecarAddress.TryParse(text, out var parsed) ? parsed : throw new ArgumentException(text);
        return kind is "ring" or "inline"
            ? await UdsRuntime.ConnectAsync(new UdsOptions { SocketPath = address.Path!, Model = model, SharedMemory = kind == "ring" }, CancellationToken.None)
            : await HttpRuntime.ConnectAsync(new HttpOptions { Address = address, Model = model, Http2 = kind == "h2c" }, CancellationToken.None);
    }
}
