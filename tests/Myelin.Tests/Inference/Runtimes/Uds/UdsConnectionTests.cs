using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol;
using Myelin.Protocol.Sidecars;
using Myelin.Sidecar.Uds;
using Myelin.Testing;
using Myelin.Tests.Inference.Runtimes.Conformance;
using Myelin.TestSidecar;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Uds;

/// <summary>What only this transport has: the ring, pings, deadlines, many models on one connection.</summary>
public sealed class UdsConnectionTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Infer_ModelIgnoresCancel_CallerGoesSoonAndPlacesStayUntilTheAnswer()
    {
        await using var sidecar = await InProcessSidecar.StartAsync();
        var connection = await sidecar.ConnectAsync(options => options with { CancelPatience = TimeSpan.FromMilliseconds(100) });
        using var cancel = new CancellationTokenSource();
        using (var x = connection.Open("hang").Rent("x", ElementType.UInt8, 100_000))
        {
            using var gate = new Gate();
            var call = connection.Open("hang").InferAsync([x, .. gate.Inputs], cancel.Token).AsTask();
            await gate.BegunAsync(); // a call that waits for its turn would end at once
            await cancel.CancelAsync();
            await Should.ThrowAsync<OperationCanceledException>(call.WaitAsync(TimeSpan.FromMinutes(2), Token));
        }

        connection.Arena!.Places.ShouldBe(1, "the sidecar may still read it");
        await connection.DisposeAsync();
        connection.Arena.Places.ShouldBe(0);
    }

    [Fact]
    public async Task Infer_SidecarComputesBeyondTheDeadline_AnswersDeadline()
    {
        await using var sidecar = await InProcessSidecar.StartAsync();
        await using var connection = await sidecar.ConnectAsync(options => options with { CallTimeout = TimeSpan.FromMilliseconds(150) });
        using var minute = Tensors.Int64("ms", 60_000);

        var fault = await Should.ThrowAsync<RuntimeException>(async () => await connection.Open("sleep").InferAsync([minute], Token));

        (fault.Code, fault.Retryable).ShouldBe((SidecarErrors.Deadline, false));
        connection.Lost.IsCompleted.ShouldBeFalse();
        await sidecar.ShouldHoldNothingAsync(connection);
    }

    [Fact]
    public async Task Infer_SidecarIgnoresTheDeadline_IsTakenForHung()
    {
        await using var sidecar = await InProcessSidecar.StartAsync();
        await using var connection = await sidecar.ConnectAsync(options => options with { CallTimeout = TimeSpan.FromMilliseconds(100), HangGrace = TimeSpan.FromMilliseconds(200) });

        var fault = await Should.ThrowAsync<RuntimeException>(connection.Open("hang").InferAsync([], Token).AsTask().WaitAsync(TimeSpan.FromMinutes(2), Token));

        fault.Code.ShouldBe(SidecarErrors.Deadline);
        (await connection.Lost).Ending.ShouldBe(UdsEnding.Hung);
    }

    [Fact]
    public async Task Ping_FrozenProcess_IsTakenForHung()
    {
        var folder = Directory.CreateTempSubdirectory("myelin-test-");
        var socket = Path.Combine(folder.FullName, "s.sock");
        await using var process = SidecarProcess.DotNet("unix:" + socket);
        var options = new UdsOptions { SocketPath = socket, PingInterval = TimeSpan.FromMilliseconds(100), PingTimeout = TimeSpan.FromSeconds(5), ConnectTimeout = TimeSpan.FromSeconds(30) };
        await using var connection = await UdsConnection.ConnectAsync(options, null, Token);
        using var minute = Tensors.Int64("ms", 60_000);
        var call = connection.Open("sleep").InferAsync([minute], Token).AsTask();
        await Task.Delay(500, Token);
        connection.Lost.IsCompleted.ShouldBeFalse("it answers while it computes");

        process.Freeze();

        (await Should.ThrowAsync<RuntimeException>(call.WaitAsync(TimeSpan.FromMinutes(2), Token))).Retryable.ShouldBeTrue();
        (await connection.Lost).Ending.ShouldBe(UdsEnding.NoPong);
        folder.Delete(recursive: true);
    }

    [Fact]
    public async Task Infer_RingFull_WaitsThenGoesInline()
    {
        await using var sidecar = await InProcessSidecar.StartAsync();
        await using var connection = await sidecar.ConnectAsync(options => options with { InputRingBytes = 1 << 20, OutputRingBytes = 1 << 20 });
        var identity = connection.Open("identity");
        using var first = Tensors.Filled(identity.Rent("x", ElementType.UInt8, 700_000), 1);
        using var second = Tensors.Filled(identity.Rent("x", ElementType.UInt8, 600_000), 2);
        connection.Arena!.Places.ShouldBe(1, "the second found no place");

        // Both answers at once do not fit either: the second one comes inline, after the sidecar has waited.
        using var one = await identity.InferAsync([first], Token);
        using var two = await identity.InferAsync([second], Token);

        Tensors.ShouldEqual(one.Single(), first);
        Tensors.ShouldEqual(two.Single(), second);
        sidecar.Listener.Sessions.Single().Held.ShouldBe(1);
        one.Dispose();
        two.Dispose();
        using (var three = await identity.InferAsync([first], Token))
        {
            sidecar.Listener.Sessions.Single().Held.ShouldBe(1, "there is room again");
        }

        first.Dispose();
        await sidecar.ShouldHoldNothingAsync(connection);
    }

    [Fact]
    public async Task Infer_LargeInlineMessageUnderWay_SmallCallsPassIt()
    {
        await using var sidecar = await InProcessSidecar.StartAsync();
        await using var connection = await sidecar.ConnectAsync(options => options with { SharedMemory = false });
        var identity = connection.Open("identity");
        using var large = Tensors.Filled(Tensor.Rent("x", ElementType.UInt8, 200_000_000), 1);
        using var small = Tensors.Int64("x", 5);

        var slow = identity.InferAsync([large], Token).AsTask();
        var passed = 0;
        while (passed < 20)
        {
            using var outputs = await identity.InferAsync([small], Token);
            Tensors.ShouldEqual(outputs.Single(), small);
            passed += slow.IsCompleted ? 0 : 1;
            slow.IsCompleted.ShouldBeFalse($"{passed} small calls have passed the large one");
        }

        using var answer = await slow;
        Tensors.ShouldEqual(answer.Single(), large);
    }

    [Fact]
    public async Task Infer_CancelledInTheMiddleOfItsData_NextCallsAreRight()
    {
        await using var sidecar = await InProcessSidecar.StartAsync();
        await using var connection = await sidecar.ConnectAsync(options => options with { SharedMemory = false });
        var identity = connection.Open("identity");
        for (var round = 0; round < 10; round++)
        {
            using var cancel = new CancellationTokenSource();
            using var large = Tensors.Filled(Tensor.Rent("x", ElementType.UInt8, 60_000_000), round);
            using var next = Tensors.Filled(Tensor.Rent("x", ElementType.UInt8, 1_000_000), round + 100);

            var call = identity.InferAsync([large], cancel.Token).AsTask();
            await cancel.CancelAsync();

            await Should.ThrowAsync<OperationCanceledException>(call.WaitAsync(TimeSpan.FromMinutes(2), Token));
            using var outputs = await identity.InferAsync([next], Token);
            Tensors.ShouldEqual(outputs.Single(), next);
        }

        await sidecar.ShouldHoldNothingAsync(connection);
    }

    [Fact]
    public async Task Dispose_OutputsAreHeld_TheyStayReadable()
    {
        await using var sidecar = await InProcessSidecar.StartAsync();
        var connection = await sidecar.ConnectAsync();
        using var size = Tensors.Int64("bytes", 5_000_000);
        using (var outputs = await connection.Open("big").InferAsync([size], Token))
        {
            await connection.DisposeAsync();
            (await connection.Lost).Ending.ShouldBe(UdsEnding.Closed);

            outputs.Single().Bytes.Span[4_999_999].ShouldBe((byte)(4_999_999 % 251));
            Should.Throw<RuntimeException>(() => connection.Open("big").InferAsync([size], Token).AsTask().GetAwaiter().GetResult()).Code.ShouldBe(SidecarErrors.ConnectionLost);
        }

        await sidecar.ShouldBeAloneAsync();
    }

    [Fact]
    public async Task Connect_WhileLoading_HearsHowFarItIsAndWaits()
    {
        await using var sidecar = await InProcessSidecar.StartAsync(ready: false);
        var connecting = sidecar.ConnectAsync();
        await Wait.UntilAsync(() => sidecar.Listener.Sessions.Count == 1);
        await Task.Delay(100, Token);
        connecting.IsCompleted.ShouldBeFalse();

        sidecar.Ready();

        await using var connection = await connecting;
        connection.Models.Count.ShouldBe(8);
        connection.SharesMemory.ShouldBeTrue();
    }

    [Fact]
    public async Task Connect_LoadingTakesTooLong_SaysSo()
    {
        await using var sidecar = await InProcessSidecar.StartAsync(ready: false);

        var fault = await Should.ThrowAsync<RuntimeException>(sidecar.ConnectAsync(options => options with { ReadyTimeout = TimeSpan.FromMilliseconds(100) }));

        fault.Message.ShouldContain("did not get ready within 0.1 s");
        await sidecar.ShouldBeAloneAsync();
    }

    [Fact]
    public async Task Connect_LoadingFails_SaysWhy()
    {
        await using var sidecar = await InProcessSidecar.StartAsync(ready: false);
        var connecting = sidecar.ConnectAsync();
        await Wait.UntilAsync(() => sidecar.Listener.Sessions.Count == 1);
        await Task.Delay(50, Token);

        await sidecar.Listener.FailAsync("no file model.pt", Token);

        var fault = await Should.ThrowAsync<RuntimeException>(connecting);
        (fault.Code, fault.Retryable).ShouldBe((SidecarErrors.LoadFailed, false));
        fault.Message.ShouldContain("no file model.pt");
    }

    [Fact]
    public async Task Connect_NobodyListens_SaysSoInTime()
    {
        var options = new UdsOptions { SocketPath = "/dev/shm/myelin-test-nobody.sock", ConnectTimeout = TimeSpan.FromMilliseconds(100) };

        var fault = await Should.ThrowAsync<RuntimeException>(UdsRuntime.ConnectAsync(options, Token));

        fault.Message.ShouldContain("no sidecar listens");
        fault.Retryable.ShouldBeTrue();
    }

    [Fact]
    public async Task Drain_OfTheSidecar_EndsTheConnectionAfterTheLastAnswer()
    {
        await using var sidecar = await InProcessSidecar.StartAsync();
        var connection = await sidecar.ConnectAsync();
        using var moment = Tensors.Int64("ms", 700);
        using var gate = new Gate();
        var running = connection.Open("sleep").InferAsync(gate.Inputs, Token).AsTask();
        await gate.BegunAsync();

        var draining = sidecar.Listener.DrainAsync(Token).AsTask();
        await Wait.UntilAsync(() => connection.IsDraining);
        (await Should.ThrowAsync<RuntimeException>(async () => await connection.Open("sleep").InferAsync([moment], Token))).Code.ShouldBe(SidecarErrors.Draining);
        gate.Open();

        using (var outputs = await running)
        {
            outputs.Single().As<long>()[0].ShouldBe(700);
        }

        (await connection.Lost).Ending.ShouldBe(UdsEnding.Drained);
        await draining;
        await connection.DisposeAsync();
        await sidecar.ShouldBeAloneAsync();
    }

    [Fact]
    public async Task Worker_NeverReads_OthersGoOnAndItsEndFreesAll()
    {
        await using var sidecar = await InProcessSidecar.StartAsync();
        var connection = await sidecar.ConnectAsync();
        using (var silent = WirePeer.Connect(sidecar.Options.SocketPath))
        {
            silent.Send(FrameType.Hello, 0, Hello.Write(1, 1, new WorkerHello("silent", 64, 1 << 30, null)));
            silent.ReadUntil(FrameType.Ready).ShouldNotBeNull();
            for (ulong call = 1; call <= 30; call++)
            {
                var head = new byte[CallHead.FixedBytes + TensorHead.Size("bytes".Length, 1)];
                new CallHeadWriter(head, ConformanceModels.BigIndex, 1, 0, 0, sizeof(long)).Tensor("bytes", ElementType.Int64, [1], TensorPlace.Inline, 0, sizeof(long));
                silent.Send(FrameType.Infer, call, head);
                silent.Send(FrameType.Data, call, BitConverter.GetBytes(1_000_000L));
            }

            var identity = connection.Open("identity");
            for (var round = 0; round < 50; round++)
            {
                using var x = Tensors.Filled(identity.Rent("x", ElementType.UInt8, 1 + (round * 2000)), round);
                using var outputs = await identity.InferAsync([x], Token).AsTask().WaitAsync(TimeSpan.FromMinutes(2), Token);
                Tensors.ShouldEqual(outputs.Single(), x);
            }

            sidecar.Listener.Sessions.Count.ShouldBe(2, "it is slow, and not wrong");
        }

        await Wait.UntilAsync(() => sidecar.Listener.Sessions.Count == 1);
        await sidecar.ShouldHoldNothingAsync(connection);
        await connection.DisposeAsync();
        await sidecar.ShouldBeAloneAsync();
    }

    [Fact]
    public async Task Infer_MoreThanTheSidecarTakesAtOnce_WaitHere()
    {
        await using var sidecar = await InProcessSidecar.StartAsync(new UdsListenerOptions { MaxCalls = 3 });
        await using var connection = await sidecar.ConnectAsync();
        using var moment = Tensors.Int64("ms", 20);
        var runtime = connection.Open("sleep");

        await Task.WhenAll(Enumerable.Range(0, 12).Select(async _ =>
        {
            using var outputs = await runtime.InferAsync([moment], Token);
            sidecar.Listener.Sessions.Single().Running.ShouldBeLessThanOrEqualTo(3);
        }));
    }

    [Fact]
    public async Task Infer_TensorsThatCannotBeSent_AreRefusedHere()
    {
        await using var sidecar = await InProcessSidecar.StartAsync();
        await using var connection = await sidecar.ConnectAsync(options => options with { MaxCallBytes = 1_000_000 });
        var identity = connection.Open("identity");
        using var x = Tensors.Int64("x", 5);
        using var large = Tensor.Rent("x", ElementType.UInt8, 1_000_001);

        (await Should.ThrowAsync<RuntimeException>(async () => await identity.InferAsync([x, x], Token))).Message.ShouldContain("two tensors are named 'x'");
        (await Should.ThrowAsync<RuntimeException>(async () => await identity.InferAsync([large], Token))).Code.ShouldBe(SidecarErrors.TooLarge);
        (await Should.ThrowAsync<RuntimeException>(async () => await identity.InferAsync([Tensors.Int64(new string('n', 256), 5)], Token))).Code.ShouldBe(SidecarErrors.BadInput);
        using var outputs = await identity.InferAsync([x], Token);
        Tensors.ShouldEqual(outputs.Single(), x);
        await sidecar.ShouldHoldNothingAsync(connection);
    }

    [Fact]
    public async Task Infer_AnswerLargerThanAgreed_FailsThatCallAlone()
    {
        await using var sidecar = await InProcessSidecar.StartAsync();
        await using var connection = await sidecar.ConnectAsync(options => options with { MaxCallBytes = 1_000_000 });
        using var size = Tensors.Int64("bytes", 2_000_000);

        (await Should.ThrowAsync<RuntimeException>(async () => await connection.Open("big").InferAsync([size], Token))).Code.ShouldBe(SidecarErrors.TooLarge);

        await sidecar.ShouldHoldNothingAsync(connection);
        connection.Lost.IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task Infer_CallsOfEveryKindCancelledAtRandom_BothSidesHoldNothing()
    {
        await using var sidecar = await InProcessSidecar.StartAsync();
        await using var connection = await sidecar.ConnectAsync(options => options with { InputRingBytes = 4 << 20, OutputRingBytes = 4 << 20 });
        await Task.WhenAll(Enumerable.Range(0, 8).Select(seed => Task.Run(async () =>
        {
            var random = new Random(seed);
            var identity = connection.Open("identity");
            for (var step = 0; step < 60; step++)
            {
                using var cancel = new CancellationTokenSource();
                if (random.Next(2) == 0)
                {
                    cancel.CancelAfter(random.Next(3));
                }

                using var x = Tensors.Filled(identity.Rent("x", ElementType.UInt8, random.Next(1, 2_000_000)), step);
                try
                {
                    using var outputs = await identity.InferAsync([x], cancel.Token);
                    Tensors.ShouldEqual(outputs.Single(), x);
                }
                catch (OperationCanceledException) when (cancel.IsCancellationRequested)
                {
                }
            }
        }, Token)));

        await sidecar.ShouldHoldNothingAsync(connection);
    }
}
