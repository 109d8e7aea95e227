using System.Text.Json;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol.Sidecars;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Uds;

/// <summary>What sidecars may send, played to the real worker's connection by a script on a real socket.</summary>
public sealed class WorkerSideVectorTests : IDisposable
{
    private static readonly Ready s_ready = new([new ReadyModel("first"), new ReadyModel("second")]);

    private readonly TemporaryFolder _folder = new();

    [Theory]
    [MemberData(nameof(SidecarVector.FromSidecars), MemberType = typeof(SidecarVector))]
    public async Task Connection_Vector_DoesWhatItSays(string name)
    {
        var vector = SidecarVector.Get(name);
        var open = vector.Calls("open");
        var path = Path.Combine(_folder.Path, "s.sock");
        using var listening = WirePeer.Listen(path);
        var options = new UdsOptions
        {
            SocketPath = path,
            RingFolder = _folder.Path,
            InputRingBytes = (long)vector.Context("ring")!["inputs"]!["bytes"]!,
            OutputRingBytes = (long)vector.Context("ring")!["outputs"]!["bytes"]!,
            MaxCallBytes = (long)vector.Context("maxCallBytes")!,
            PingInterval = TimeSpan.FromHours(1),
        };
        var connecting = UdsConnection.ConnectAsync(options, null, TimeProvider.System, open.Length == 0 ? 1 : open.Min(), CancellationToken.None);
        using var sidecar = new WirePeer(await listening.AcceptAsync());
        sidecar.ReadUntil(FrameType.Hello).ShouldNotBeNull();

        if (vector.Phase != "new")
        {
            sidecar.Send(FrameType.Hello, 0, Hello.Write(1, new SidecarHello("vectors/1", Ring: true, 64, options.MaxCallBytes)));
        }

        if (vector.Phase == "ready")
        {
            sidecar.Send(FrameType.Ready, 0, s_ready.Write());
            await using var connection = await connecting;
            await ReadyAsync(vector, connection, sidecar, open);
            return;
        }

        sidecar.TrySend(vector.Bytes);
        if (vector.Error is not null)
        {
            SidecarError.Read(sidecar.ReadUntil(FrameType.Error).ShouldNotBeNull("an ERROR").Payload).Code.ShouldBe(vector.Error);
            sidecar.ReachesEnd().ShouldBeTrue("the connection is closed");
            (await Should.ThrowAsync<RuntimeException>(connecting)).Code.ShouldBe(vector.Error);
        }
        else if (name == "error-load-failed")
        {
            var fault = await Should.ThrowAsync<RuntimeException>(connecting);
            fault.Code.ShouldBe(SidecarErrors.LoadFailed);
            fault.Message.ShouldContain("no file model.pt");
        }
        else
        {
            if (vector.Phase == "new")
            {
                sidecar.Send(FrameType.Ready, 0, s_ready.Write());
            }

            await using var connection = await connecting;
            connection.Models[0].Name.ShouldBeOneOf("first", "m0");
        }
    }

    public void Dispose() => _folder.Dispose();

    private static async Task ReadyAsync(SidecarVector vector, UdsConnection connection, WirePeer sidecar, ulong[] open)
    {
        var runtime = connection.Open("first");
        var progress = new List<RuntimeProgress>();
        var calls = new Dictionary<ulong, Task<TensorSet>>();
        foreach (var call in open)
        {
            calls[call] = runtime.InferAsync([], new Receiver(progress), CancellationToken.None).AsTask();
            sidecar.ReadUntil(FrameType.Infer, call).ShouldNotBeNull($"call {call}");
        }

        sidecar.TrySend(vector.Bytes);
        if (vector.Error is not null)
        {
            SidecarError.Read(sidecar.ReadUntil(FrameType.Error, 0).ShouldNotBeNull("an ERROR").Payload).Code.ShouldBe(vector.Error);
            sidecar.ReachesEnd().ShouldBeTrue("the connection is closed");
            (await connection.Lost.WaitAsync(TimeSpan.FromMinutes(2))).Ending.ShouldBe(UdsEnding.BadFrame);
            foreach (var call in calls.Values.Where(call => !call.IsCompletedSuccessfully))
            {
                (await Should.ThrowAsync<RuntimeException>(call)).Retryable.ShouldBeTrue();
            }

            return;
        }

        if (vector.Frames.Any(frame => (string)frame!["type"]! == "ERROR" && (ulong)frame["call"]! == 0))
        {
            await connection.Lost.WaitAsync(TimeSpan.FromMinutes(2));
            return;
        }

        sidecar.Send(FrameType.Ping, 0, "still up"u8);
        sidecar.ReadUntil(FrameType.Pong).ShouldNotBeNull("the connection goes on").Payload.ShouldBe("still up"u8.ToArray());
        await CheckAsync(vector, connection, calls, progress);
    }

    private static async Task CheckAsync(SidecarVector vector, UdsConnection connection, Dictionary<ulong, Task<TensorSet>> calls, List<RuntimeProgress> progress)
    {
        foreach (var message in vector.Messages ?? [])
        {
            using var outputs = await calls[(ulong)message!["call"]!];
            outputs.ToDictionary(tensor => tensor.Name, tensor => Convert.ToHexStringLower(tensor.Bytes.Span))
                .ShouldBe(message["tensors"].Deserialize<Dictionary<string, string>>()!, ignoreOrder: true);
        }

        foreach (var frame in vector.Frames)
        {
            switch ((string)frame!["type"]!)
            {
                case "ERROR":
                    var fault = await Should.ThrowAsync<RuntimeException>(calls[(ulong)frame["call"]!]);
                    (fault.Message, fault.Retryable, fault.Code).ShouldBe(((string)frame["message"]!, (bool)frame["retryable"]!, (string)frame["code"]!));
                    break;
                case "DRAIN":
                    connection.IsDraining.ShouldBeTrue();
                    (await Should.ThrowAsync<RuntimeException>(async () => await connection.Open("first").InferAsync([], CancellationToken.None))).Code.ShouldBe(SidecarErrors.Draining);
                    break;
                case "RESULT" when frame["tensors"]!.AsArray().FirstOrDefault() is { } tensor && (string)tensor["place"]! == "ring":
                    using (var outputs = await calls[(ulong)frame["call"]!])
                    {
                        outputs[0].Bytes.Length.ShouldBe((int)tensor["bytes"]!);
                    }

                    break;
                case "PROGRESS":
                    await Wait.UntilAsync(() => progress.Count > 0);
                    Convert.ToHexStringLower(progress[0].Preview.Span).ShouldBe((string)frame["preview"]!);
                    progress[0].Step.ShouldBe((int)Math.Min((uint)frame["step"]!, int.MaxValue));
                    break;
                default:
                    break;
            }
        }
    }

    private sealed class Receiver(List<RuntimeProgress> progress) : IProgress<RuntimeProgress>
    {
        public void Report(RuntimeProgress value) => progress.Add(value);
    }
}
