using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol;
using Myelin.Protocol.Sidecars;
using Myelin.Sidecar.Uds;
using Myelin.Tests.Inference.Runtimes.Conformance;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Uds;

/// <summary>Garbage on the socket, both ways. The seed of a failing run is in its message.</summary>
public sealed class UdsFuzzTests
{
    private const int Batches = 1000;
    private const int Frames = 150;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public void Decode_DamagedVectors_NothingButBadFrames()
    {
        var vectors = SidecarVector.Every.Where(vector => vector.Bytes.Length < 4096).ToArray();
        var part = new RingPart(0, 524_288);
        var refused = 0;
        for (var step = 0; step < 100_000; step++)
        {
            var bytes = vectors[step % vectors.Length].Bytes;
            new FrameFuzzer(step, null).Damage(bytes);
            try
            {
                ReadOnlySpan<byte> rest = bytes;
                while (rest.Length >= FrameHeader.Bytes)
                {
                    var header = FrameHeader.Read(rest);
                    if (rest.Length < FrameHeader.Bytes + header.Length)
                    {
                        break;
                    }

                    Decode(header, rest.Slice(FrameHeader.Bytes, header.Length), part);
                    rest = rest[(FrameHeader.Bytes + header.Length)..];
                }
            }
            catch (BadFrameException)
            {
                refused++;
            }
        }

        refused.ShouldBeInRange(40_000, 100_000);
    }

    [Fact]
    public async Task Sidecar_GarbageFromWorkers_ServesTheNextAndHoldsNothing()
    {
        // Room for sessions that are still closing while the next ones come.
        await using var sidecar = await InProcessSidecar.StartAsync(new UdsListenerOptions { MaxCalls = 40, MaxCallBytes = 1 << 20, MaxConnections = 1024 });
        var hello = new WorkerHello("fuzz", 64, 1 << 30);
        var reached = 0L;
        for (var seed = 0; seed < Batches; seed++)
        {
            SharedRing? ring = null;
            if (seed % 2 == 0)
            {
                RingFiles.TryCreate(sidecar.Options.RingFolder, 65_536, 65_536, null, out ring, out _).ShouldBeTrue();
            }

            using (var worker = WirePeer.Connect(sidecar.Options.SocketPath))
            {
                worker.Send(FrameType.Hello, 0, Hello.Write(1, 1, hello with { Ring = ring?.Layout }));
                worker.ReadUntil(FrameType.Ready).ShouldNotBeNull();
                ring?.Unlink();
                worker.TrySend(new FrameFuzzer(seed, ring?.Layout.Inputs).Batch(Frames, fromWorker: true, wild: seed % 8 < 2, calls: 0));
                worker.End(both: false);
                worker.ReachesEnd(Frames, out var frames).ShouldBeTrue($"seed {seed}: the sidecar neither answers nor closes");
                reached += frames;
            }

            ring?.Release();
        }

        reached.ShouldBeGreaterThan(100_000, "most batches go deep");
        await sidecar.ShouldBeAloneAsync();
        await using var connection = await sidecar.ConnectAsync();
        using var x = Tensors.Filled(Tensor.Rent("x", ElementType.UInt8, 100_000), 3);
        using var outputs = await connection.Open("identity").InferAsync([x], Token);
        Tensors.ShouldEqual(outputs.Single(), x);
    }

    [Fact]
    public async Task Worker_GarbageFromSidecars_EveryCallEndsAndNothingIsHeld()
    {
        var folder = Directory.CreateDirectory($"/dev/shm/myelin-test-{Guid.NewGuid():N}");
        var path = Path.Combine(folder.FullName, "s.sock");
        using var listening = WirePeer.Listen(path);
        var options = new UdsOptions { SocketPath = path, RingFolder = folder.FullName, InputRingBytes = 65_536, OutputRingBytes = 65_536, InlineBelow = 100, MaxCallBytes = 1 << 20 };
        var ready = new Ready([new ReadyModel("m")]).Write();
        var reached = 0L;
        for (var seed = 0; seed < Batches; seed++)
        {
            var connecting = UdsConnection.ConnectAsync(options with { SharedMemory = seed % 2 == 0 }, null, Token);
            using var sidecar = new WirePeer(await listening.AcceptAsync(Token));
            var hello = Hello.ReadWorker(sidecar.ReadUntil(FrameType.Hello).ShouldNotBeNull().Payload).Hello;
            sidecar.Send(FrameType.Hello, 0, Hello.Write(1, new SidecarHello("fuzz", hello.Ring is not null, 64, 1 << 20)));
            sidecar.Send(FrameType.Ready, 0, ready);
            await using var connection = await connecting;
            using var x = Tensors.Filled(connection.Open("m").Rent("x", ElementType.UInt8, 1000), seed);
            var calls = Enumerable.Range(0, 8).Select(_ => connection.Open("m").InferAsync([x], Token).AsTask()).ToArray();
            sidecar.ReadUntil(FrameType.Infer, 8).ShouldNotBeNull();

            sidecar.TrySend(new FrameFuzzer(seed, hello.Ring?.Outputs).Batch(Frames, fromWorker: false, wild: seed % 8 < 2, calls: 8));
            sidecar.End(both: false);
            sidecar.ReachesEnd(Frames, out var frames).ShouldBeTrue($"seed {seed}: the worker neither answers nor closes");
            reached += frames;

            await connection.Lost.WaitAsync(TimeSpan.FromMinutes(2), Token);
            foreach (var call in calls)
            {
                try
                {
                    (await call.WaitAsync(TimeSpan.FromMinutes(2), Token)).Dispose(); // a sound RESULT may have been among them
                }
                catch (RuntimeException)
                {
                    // named, and not a hang
                }
            }

            connection.Arena?.Places.ShouldBe(1, $"seed {seed}: only the test's own input is in use");
        }

        reached.ShouldBeGreaterThan(100_000, "most batches go deep");
        File.ReadAllText("/proc/self/maps").ShouldNotContain(folder.Name);
        folder.Delete(recursive: true);
    }

    private static void Decode(FrameHeader header, ReadOnlySpan<byte> payload, RingPart part)
    {
        switch (header.Type)
        {
            case FrameType.Hello:
                Hello.ReadWorker(payload);
                break;
            case FrameType.Ready:
                Ready.Read(payload);
                break;
            case FrameType.Infer or FrameType.Result:
                foreach (var tensor in CallHead.Read(payload, part))
                {
                    tensor.Shape().Length.ShouldBe(tensor.Rank);
                }

                break;
            case FrameType.Error:
                SidecarError.Read(payload);
                break;
            default:
                break;
        }
    }
}
