using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol;
using Myelin.Protocol.Sidecars;
using Myelin.Testing;
using Myelin.Tests.Inference.Runtimes.Conformance;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Uds;

/// <summary>The sidecar dies by SIGKILL, wherever it is: the worker notices, answers what it owes and holds nothing.</summary>
public sealed class UdsKillTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateDirectory($"/dev/shm/myelin-test-{Guid.NewGuid():N}");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("dotnet")]
    [InlineData("python")]
    public async Task Sidecar_KilledAfterEachFrame_NoWrongAnswerNothingLeftNobodyWaits(string language)
    {
        var frames = await PlayAsync(language, int.MaxValue);
        frames.ShouldBeGreaterThan(25, "the play has every kind of frame");
        // Several at a time: most of a play is waiting for a process to start.
        await Parallel.ForAsync(0, frames, new ParallelOptions { MaxDegreeOfParallelism = 4, CancellationToken = Token }, async (frame, _) => await PlayAsync(language, frame));
    }

    public void Dispose() => _folder.Delete(recursive: true);

    /// <summary>Calls of every kind through a proxy that kills the sidecar after a frame.</summary>
    /// <returns>How many frames there were.</returns>
    private async Task<int> PlayAsync(string language, int killAfter)
    {
        var (front, back) = (Path.Combine(_folder.FullName, $"front-{killAfter}"), Path.Combine(_folder.FullName, $"back-{killAfter}"));
        await using var process = language == "dotnet" ? SidecarProcess.DotNet("unix:" + back) : SidecarProcess.Python("unix:" + back);
        await using var proxy = new FrameProxy(front, back, killAfter, process.Kill);
        var rings = _folder.CreateSubdirectory($"rings-{killAfter}").FullName;
        var options = new UdsOptions
        {
            SocketPath = front,
            RingFolder = rings,
            InputRingBytes = 2 << 20,
            OutputRingBytes = 2 << 20,
            InlineBelow = 200_000,
            ConnectTimeout = TimeSpan.FromSeconds(30),
            PingInterval = TimeSpan.FromMilliseconds(50),
        };
        try
        {
            await using var connection = await UdsConnection.ConnectAsync(options, null, Token).WaitAsync(TimeSpan.FromMinutes(2), Token);
            try
            {
                await CallAsync(connection).WaitAsync(TimeSpan.FromMinutes(2), Token);
            }
            finally
            {
                await Wait.UntilAsync(() => connection.Arena is not { Places: > 0 });
            }
        }
        catch (RuntimeException fault) when (killAfter < int.MaxValue)
        {
            fault.Retryable.ShouldBeTrue($"killed after {killAfter}: {fault}");
            fault.Code.ShouldBe(SidecarErrors.ConnectionLost);
        }

        Directory.GetFiles(rings).ShouldBeEmpty($"killed after {killAfter}");
        return proxy.Passed;
    }

    private static async Task CallAsync(UdsConnection connection)
    {
        var identity = connection.Open("identity");
        foreach (var size in (int[])[100, 100_000, 300_000, 3_000_000])
        {
            using var x = Tensors.Filled(identity.Rent("x", ElementType.UInt8, size), size);
            using var outputs = await identity.InferAsync([x], Token);
            Tensors.ShouldEqual(outputs.Single(), x);
        }

        using var steps = Tensors.Int64("steps", 3);
        using (await connection.Open("progress").InferAsync([steps], new Progress<RuntimeProgress>(), Token))
        {
        }

        try
        {
            using var message = Tensors.Text("message", "as expected");
            using var outputs = await connection.Open("fail").InferAsync([message], Token);
            Assert.Fail("it fails");
        }
        catch (RuntimeException fault) when (fault.Code == SidecarErrors.Failed)
        {
            fault.Message.ShouldBe("as expected");
        }

        using var cancel = new CancellationTokenSource();
        try
        {
            using var minute = Tensors.Int64("ms", 60_000);
            var cancelled = connection.Open("sleep").InferAsync([minute], cancel.Token).AsTask();
            await cancel.CancelAsync();
            using var outputs = await cancelled;
            Assert.Fail("it is cancelled");
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
        }

        await Task.Delay(60, Token); // a ping goes by
        using var last = Tensors.Int64("x", 1);
        using (await identity.InferAsync([last], Token))
        {
        }
    }
}
