using System.Diagnostics;
using System.Net.Sockets;
using Myelin.Inference.Runtimes;
using Myelin.Protocol;
using Myelin.Protocol.Sidecars;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Conformance;

/// <summary>What holds for every transport when the line or the worker fails: the sidecar serves on, and no answer is ever wrong.</summary>
public abstract class LineConformance<T>(T transport) : SidecarConformance<T>(transport) where T : ProcessTransport
{
    private static readonly int[] s_sizes = [100, 30_000, 300_000];

    [Fact]
    public async Task Line_CutAfterAnyByte_CallsFailWorthRepeatingOrAreRight()
    {
        var whole = await PlayAsync(long.MaxValue);
        whole.ShouldBeGreaterThan(1000);
        var random = new Random(5);
        for (var cut = 0; cut < 40; cut++)
        {
            // Most bytes are tensors': half of the cuts are made where the talk begins.
            await PlayAsync(cut % 2 == 0 ? random.NextInt64(1, whole) : random.NextInt64(1, Math.Min(whole, 3000)));
        }

        await ServesAsync();
    }

    [Fact]
    public async Task Line_SlowAndInCrumbs_AnswersAreRightAndOthersGoOn()
    {
        await using var line = await Transport.OpenLineAsync((sidecar, path) => new Line(sidecar, path) { Crumb = 300, RestAfter = 20 });
        await using var slow = await Transport.ConnectAsync(line.Address, "identity");
        await using var other = await Transport.OpenAsync("identity", new TensorSpec("x", ElementType.UInt8, [-1]));
        using var x = Tensors.Filled(Tensor.Rent("x", ElementType.UInt8, 400_000), 3);
        using var y = Tensors.Filled(Tensor.Rent("x", ElementType.UInt8, 10_000), 4);

        var crawling = Enumerable.Range(0, 4).Select(_ => slow.InferAsync([x], Token).AsTask()).ToArray();
        for (var call = 0; call < 20; call++)
        {
            using var outputs = await other.InferAsync([y], Token).AsTask().WaitAsync(TimeSpan.FromMinutes(2), Token);
            Tensors.ShouldEqual(outputs.Single(), y);
        }

        foreach (var call in crawling)
        {
            using var outputs = await call.WaitAsync(TimeSpan.FromSeconds(60), Token);
            Tensors.ShouldEqual(outputs.Single(), x);
        }
    }

    [Fact]
    public async Task Line_GarbageOfEveryKind_SidecarServesOn()
    {
        byte[] said;
        await using (var line = await Transport.OpenLineAsync((sidecar, path) => new Line(sidecar, path)))
        {
            await using (var runtime = await Transport.ConnectAsync(line.Address, "identity"))
            {
                using var x = Tensors.Filled(Tensor.Rent("x", ElementType.UInt8, 2000), 3);
                (await runtime.InferAsync([x], Token)).Dispose();
            }

            said = line.Said;
        }

        for (var seed = 0; seed < 150; seed++)
        {
            var random = new Random(seed);
            var garbage = (byte[])said.Clone();
            for (var damages = random.Next(0, 6); damages > 0; damages--)
            {
                garbage[random.Next(garbage.Length)] = (byte)random.Next(256);
            }

            if (seed % 5 == 0)
            {
                random.NextBytes(garbage);
            }

            using var socket = await Line.ConnectAsync(Transport.Address);
            await SayAsync(socket, garbage.AsMemory(0, seed % 3 == 0 ? random.Next(garbage.Length) : garbage.Length), random.Next(2) == 0);
        }

        await ServesAsync();
    }

    [Fact]
    public async Task Worker_Killed_ItsCallsEndAndTheSidecarServesOn()
    {
        await (await Transport.OpenAsync("identity")).DisposeAsync(); // it listens
        for (var round = 0; round < 2; round++)
        {
            var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "Myelin.TestSidecar"), ["worker", Transport.Address, Transport.WorkerKind]) { RedirectStandardOutput = true };
            using var worker = Process.Start(start)!;
            (await worker.StandardOutput.ReadLineAsync(Token)).ShouldBe("busy");

            worker.Kill();

            await worker.WaitForExitAsync(Token);
        }

        // The dead workers had taken every place that `sleep` has, for a minute.
        await using var sleep = await Transport.OpenAsync("sleep");
        using var none = Tensors.Int64("ms", 0);
        (await sleep.InferAsync([none], Token).AsTask().WaitAsync(TimeSpan.FromMinutes(2), Token)).Dispose();
        await ServesAsync();
    }

    /// <summary>Some calls over a line that is cut.</summary>
    /// <returns>The bytes that went over it.</returns>
    private async Task<long> PlayAsync(long cutAfter)
    {
        await using var line = await Transport.OpenLineAsync((sidecar, path) => new Line(sidecar, path) { CutAfter = cutAfter });
        try
        {
            await using var runtime = await Transport.ConnectAsync(line.Address, "identity").WaitAsync(TimeSpan.FromMinutes(2), Token);
            await Task.WhenAll(s_sizes.Select(async size =>
            {
                using var x = Tensors.Filled(runtime.Rent("x", ElementType.UInt8, size), size);
                try
                {
                    using var outputs = await runtime.InferAsync([x], Token).AsTask().WaitAsync(TimeSpan.FromMinutes(2), Token);
                    Tensors.ShouldEqual(outputs.Single(), x);
                }
                catch (RuntimeException fault) when (line.IsCut)
                {
                    (fault.Code, fault.Retryable).ShouldBe((SidecarErrors.ConnectionLost, true), $"cut after {cutAfter}: {fault}");
                }
            }));
        }
        catch (RuntimeException fault) when (line.IsCut)
        {
            (fault.Code, fault.Retryable).ShouldBe((SidecarErrors.ConnectionLost, true), $"cut after {cutAfter}, while connecting: {fault}");
        }

        return line.Passed;
    }

    private async Task ServesAsync()
    {
        await using var runtime = await Transport.OpenAsync("identity", new TensorSpec("x", ElementType.UInt8, [-1]));
        using var x = Tensors.Filled(runtime.Rent("x", ElementType.UInt8, 500_000), 11);
        using var outputs = await runtime.InferAsync([x], Token).AsTask().WaitAsync(TimeSpan.FromMinutes(2), Token);
        Tensors.ShouldEqual(outputs.Single(), x);
    }

    /// <summary>Sends, and where asked waits until the sidecar has had enough.</summary>
    private static async Task SayAsync(Socket socket, ReadOnlyMemory<byte> bytes, bool listen)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        try
        {
            while (!bytes.IsEmpty)
            {
                bytes = bytes[await socket.SendAsync(bytes, patience.Token)..];
            }

            socket.Shutdown(SocketShutdown.Send);
            var answer = new byte[4096];
            while (listen && await socket.ReceiveAsync(answer, patience.Token) > 0)
            {
            }
        }
        catch (SocketException)
        {
            // closed on us, as it should
        }
    }
}
