using System.Text.Json;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol;
using Myelin.Protocol.Sidecars;
using Myelin.Sidecar;
using Myelin.Sidecar.Uds;
using Myelin.TestSidecar;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Uds;

/// <summary>What workers may send, thrown at the real listener over a real socket: it must do what the vector says, and nothing else.</summary>
public sealed class SidecarSideVectorTests : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly List<Dictionary<string, string>> _seen = [];
    private readonly TaskCompletionSource _never = new();
    private readonly UdsListener _listener;
    private SharedRing? _ring;

    public SidecarSideVectorTests() => _listener = new UdsListener(Path.Combine(_folder.Path, "s.sock"), new UdsListenerOptions { LeavePatience = TimeSpan.FromMilliseconds(50) });

    [Theory]
    [MemberData(nameof(SidecarVector.FromWorkers), MemberType = typeof(SidecarVector))]
    public async Task Listener_Vector_DoesWhatItSays(string name)
    {
        var vector = SidecarVector.Get(name);
        await _listener.StartAsync(CancellationToken.None);
        if (vector.Phase != "loading")
        {
            _listener.Ready([new ServedModel(Model("first")), new ServedModel(Model("second"))]);
        }

        using var worker = WirePeer.Connect(Path.Combine(_folder.Path, "s.sock"));
        await BringAsync(worker, vector);

        var whole = worker.TrySend(vector.Bytes);
        if (vector.Error is null)
        {
            whole.ShouldBeTrue();
            await GoesOnAsync(worker, vector);
            return;
        }

        var error = worker.ReadUntil(FrameType.Error, vector.ErrorCall).ShouldNotBeNull("an ERROR");
        SidecarError.Read(error.Payload).Code.ShouldBe(vector.Error);
        if (vector.ErrorCall == 0)
        {
            worker.ReachesEnd().ShouldBeTrue("the connection is closed");
        }
        else
        {
            Pings(worker);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _listener.DisposeAsync();
        _ring?.Release();
        _folder.Dispose();
    }

    /// <summary>Brings a connection to the state in which the vector begins.</summary>
    private async Task BringAsync(WirePeer worker, SidecarVector vector)
    {
        if (vector.Phase == "new")
        {
            return;
        }

        RingLayout? layout = null;
        if (vector.Context("ring") is { } ring)
        {
            SharedRing.TryCreate(Path.Combine(_folder.Path, "ring"), (long)ring["inputs"]!["bytes"]!, (long)ring["outputs"]!["bytes"]!, owner: null, out _ring, out var error).ShouldBeTrue(error);
            layout = _ring!.Layout;
        }

        worker.Send(FrameType.Hello, 0, Hello.Write(1, 1, new WorkerHello("vectors/1", (int)vector.Context("maxCalls")!, (long)vector.Context("maxCallBytes")!, layout)));
        var hello = worker.ReadUntil(FrameType.Hello).ShouldNotBeNull();
        Hello.ReadSidecar(hello.Payload).Hello.Ring.ShouldBe(layout is not null);
        if (vector.Phase == "loading")
        {
            return;
        }

        worker.ReadUntil(FrameType.Ready).ShouldNotBeNull();
        foreach (var (call, kind) in Kinds(vector, "open", "wait").Concat(Kinds(vector, "answered", "answer")).Concat(Kinds(vector, "held", "ring")).OrderBy(pair => pair.Call))
        {
            worker.Send(FrameType.Infer, call, Head(kind));
            if (kind != "wait")
            {
                worker.ReadUntil(FrameType.Result, call).ShouldNotBeNull();
            }
        }

        if (vector.Phase == "draining")
        {
            _ = _listener.DrainAsync(CancellationToken.None).AsTask();
            worker.ReadUntil(FrameType.Drain).ShouldNotBeNull();
            await Task.Yield();
        }
    }

    private async Task GoesOnAsync(WirePeer worker, SidecarVector vector)
    {
        if (vector.Phase == "new")
        {
            worker.ReadUntil(FrameType.Hello).ShouldNotBeNull();
        }

        if (vector.Frames.Any(frame => (string)frame!["type"]! is "DRAIN" or "ERROR"))
        {
            worker.ReachesEnd().ShouldBeTrue("nothing is left to do: the connection is closed");
            return;
        }

        Pings(worker);
        foreach (var message in vector.Messages ?? [])
        {
            var expected = message!["tensors"].Deserialize<Dictionary<string, string>>()!;
            await Eventually(() => _seen.Any(seen => seen.Count == expected.Count && seen.All(pair => expected.TryGetValue(pair.Key, out var value) && value == pair.Value)));
        }
    }

    private async Task Eventually(Func<bool> condition)
    {
        for (var attempt = 0; attempt < 1000; attempt++)
        {
            lock (_seen)
            {
                if (condition())
                {
                    return;
                }
            }

            await Task.Delay(10);
        }

        Assert.Fail("the model has not seen the message: " + JsonSerializer.Serialize(_seen));
    }

    private static void Pings(WirePeer worker)
    {
        worker.Send(FrameType.Ping, 0, "still up"u8);
        var pong = worker.ReadUntil(FrameType.Pong);
        while (pong is { } there && !there.Payload.AsSpan().SequenceEqual("still up"u8))
        {
            pong = worker.ReadUntil(FrameType.Pong);
        }

        pong.ShouldNotBeNull("the connection goes on");
    }

    /// <summary>Waits for ever unless its parameters say otherwise; notes what it has been given.</summary>
    private TestModel Model(string name) => new(name, async (call, cancellationToken) =>
    {
        lock (_seen)
        {
            _seen.Add(call.Inputs.ToDictionary(tensor => tensor.Name, tensor => Convert.ToHexStringLower(tensor.Bytes.Span)));
        }

        if (!call.Parameters.TryGetProperty("do", out var what))
        {
            await _never.Task.WaitAsync(cancellationToken);
        }

        return new TensorSet(what.GetString() == "ring" ? [call.Rent("y", ElementType.UInt8, 65536)] : []);
    });

    private static IEnumerable<(ulong Call, string Kind)> Kinds(SidecarVector vector, string key, string kind) => vector.Calls(key).Select(call => (call, kind));

    private static byte[] Head(string kind)
    {
        var parameters = kind == "wait" ? "{}"u8.ToArray() : JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, string> { ["do"] = kind });
        var head = new byte[CallHead.FixedBytes + parameters.Length];
        new CallHeadWriter(head, 0, 0, parameters.Length, 0, 0).Parameters(parameters);
        return head;
    }
}
