using Myelin.Inference.Runtimes;
using Myelin.Protocol;
using Myelin.Protocol.Sidecars;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Conformance;

/// <summary>What holds for every transport to another process, whatever language that is written in.</summary>
public abstract class SidecarConformance<T>(T transport) : RuntimeConformance<T>(transport) where T : ProcessTransport
{
    [Fact]
    public async Task Open_Double_SaysWhatItTakesAndCan()
    {
        await using var runtime = await Transport.OpenAsync("double");

        runtime.Inputs.Single().ShouldSatisfyAllConditions(
            spec => spec.Name.ShouldBe("x"), spec => spec.Type.ShouldBe(ElementType.Float32), spec => spec.Shape.ShouldBe([-1]));
        runtime.Outputs.Single().Name.ShouldBe("y");
        runtime.Capabilities.Concurrency.ShouldBe(16);
        runtime.Capabilities.Task.ShouldBeNull();
    }

    [Fact]
    public async Task Open_UnknownModel_SaysSo()
    {
        var fault = await Should.ThrowAsync<RuntimeException>(() => Transport.OpenAsync("nobody"));

        fault.Message.ShouldContain("nobody");
    }

    [Fact]
    public async Task Infer_ManyTensors_ComeBackUnderTheirNames()
    {
        await using var runtime = await Transport.OpenAsync("identity");
        var inputs = Enumerable.Range(0, 64).Select(index => Tensors.Filled(Tensor.Rent($"tensor-ü-{index}", ElementType.UInt16, index * index * 3), index)).ToArray();

        using var outputs = await runtime.InferAsync(inputs, Token);

        outputs.Count.ShouldBe(64);
        foreach (var input in inputs)
        {
            Tensors.ShouldEqual(outputs[input.Name], input);
            input.Dispose();
        }
    }

    [Fact]
    public async Task Infer_Double_DoublesEveryElement()
    {
        await using var runtime = await Transport.OpenAsync("double");
        await Task.WhenAll(Enumerable.Range(0, 100).Select(async index =>
        {
            using var x = runtime.Rent("x", ElementType.Float32, 1 + (index * 100));
            var values = x.As<float>();
            for (var i = 0; i < values.Length; i++)
            {
                values[i] = (index * 1000) + i;
            }

            using var outputs = await runtime.InferAsync([x], Token);
            outputs["y"].As<float>().ToArray().ShouldBe(x.As<float>().ToArray().Select(value => 2 * value));
        }));
    }

    [Fact]
    public async Task Infer_Fails_CallerGetsItsMessageAndTheNextCallWorks()
    {
        await using var runtime = await Transport.OpenAsync("fail");
        using var message = Tensors.Text("message", "the disk is gone, ünd more");

        for (var round = 0; round < 3; round++)
        {
            var fault = await Should.ThrowAsync<RuntimeException>(async () => await runtime.InferAsync([message], Token));
            fault.Message.ShouldContain("the disk is gone, ünd more");
            fault.Code.ShouldBe(SidecarErrors.Failed);
            fault.Retryable.ShouldBeFalse();
        }

        runtime.Statistics.Failures.ShouldBe(3);
        await using var other = await Transport.OpenAsync("identity");
        using var x = Tensors.Int64("x", 5);
        using var outputs = await other.InferAsync([x], Token);
        Tensors.ShouldEqual(outputs.Single(), x);
    }

    [Fact]
    public async Task Infer_Progress_ComesInOrderBeforeTheAnswer()
    {
        await using var runtime = await Transport.OpenAsync("progress");
        runtime.Capabilities.Progress.ShouldBe(true);
        using var steps = Tensors.Int64("steps", 30);
        var seen = new List<RuntimeProgress>();

        using var outputs = await runtime.InferAsync([steps], new Receiver(seen), Token);

        var count = seen.Count;
        outputs.Single().As<long>()[0].ShouldBe(30);
        seen.Select(progress => progress.Step).ShouldBe(seen.Select(progress => progress.Step).Order().Distinct(), "in order, none twice");
        seen.Count.ShouldBeGreaterThan(0);
        seen[^1].Step.ShouldBe(30);
        seen.ShouldAllBe(progress => progress.Steps == 30 && progress.Preview.Length == 16);
        seen[0].Preview.Span[15].ShouldBe((byte)15);
        await Task.Delay(50, Token);
        seen.Count.ShouldBe(count, "none after the answer");
    }

    [Fact]
    public async Task Infer_CancelledWhileRunning_OnlyThatCallEnds()
    {
        await using var runtime = await Transport.OpenAsync("sleep");
        using var minute = Tensors.Int64("ms", 60_000);
        using var moment = Tensors.Int64("ms", 300);
        using var cancel = new CancellationTokenSource();
        var cancelled = Enumerable.Range(0, 8).Select(_ => runtime.InferAsync([minute], cancel.Token).AsTask()).ToArray();
        var others = Enumerable.Range(0, 4).Select(_ => runtime.InferAsync([moment], Token).AsTask()).ToArray();
        await Task.Delay(100, Token);

        await cancel.CancelAsync();

        foreach (var call in cancelled)
        {
            await Should.ThrowAsync<OperationCanceledException>(call.WaitAsync(TimeSpan.FromMinutes(2), Token));
        }

        foreach (var call in others)
        {
            using var outputs = await call;
            outputs.Single().As<long>()[0].ShouldBe(300);
        }

        runtime.Statistics.Cancelled.ShouldBe(8);
    }

    [Fact]
    public async Task Infer_AllPlacesCancelled_TheyAreFreeAgain()
    {
        await using var runtime = await Transport.OpenAsync("sleep");
        using var minute = Tensors.Int64("ms", 60_000);
        using var none = Tensors.Int64("ms", 0);
        for (var round = 0; round < 3; round++)
        {
            using var cancel = new CancellationTokenSource();
            var calls = Enumerable.Range(0, 24).Select(_ => runtime.InferAsync([minute], cancel.Token).AsTask()).ToArray();
            await Task.Delay(50, Token);
            await cancel.CancelAsync();
            foreach (var call in calls)
            {
                await Should.ThrowAsync<OperationCanceledException>(call.WaitAsync(TimeSpan.FromMinutes(2), Token));
            }
        }

        using var outputs = await runtime.InferAsync([none], Token).AsTask().WaitAsync(TimeSpan.FromMinutes(2), Token);
        outputs.Single().As<long>()[0].ShouldBe(0);
    }

    [Fact]
    public async Task Infer_ReaderHoldsManyAnswers_OthersGoOnAndTheHeldStayWhole()
    {
        await using var big = await Transport.OpenAsync("big");
        using var size = Tensors.Int64("bytes", 1_000_000);
        var held = new List<TensorSet>();
        for (var index = 0; index < 100; index++)
        {
            held.Add(await big.InferAsync([size], Token));
        }

        foreach (var outputs in held)
        {
            var bytes = outputs["y"].Bytes;
            bytes.Length.ShouldBe(1_000_000);
            (bytes.Span[0], bytes.Span[250], bytes.Span[251], bytes.Span[999_999]).ShouldBe(((byte)0, (byte)250, (byte)0, (byte)(999_999 % 251)));
            outputs.Dispose();
        }
    }

    [Fact]
    public async Task Sidecar_KilledWhileCallsRun_TheyFailWorthRepeating()
    {
        await using var process = Transport.StartProcess();
        await using var runtime = await Transport.ConnectAsync(process, "sleep");
        using var minute = Tensors.Int64("ms", 60_000);
        var calls = Enumerable.Range(0, 20).Select(_ => runtime.InferAsync([minute], Token).AsTask()).ToArray();
        await Task.Delay(100, Token);

        process.Kill();

        foreach (var call in calls)
        {
            var fault = await Should.ThrowAsync<RuntimeException>(call.WaitAsync(TimeSpan.FromMinutes(2), Token));
            fault.Retryable.ShouldBeTrue();
            fault.Code.ShouldBe(SidecarErrors.ConnectionLost);
        }

        (await Should.ThrowAsync<RuntimeException>(async () => await runtime.InferAsync([minute], Token))).Retryable.ShouldBeTrue();
    }

    [Fact]
    public async Task Sidecar_CrashesInACall_CallFailsWorthRepeating()
    {
        await using var process = Transport.StartProcess();
        await using var runtime = await Transport.ConnectAsync(process, "crash");

        var fault = await Should.ThrowAsync<RuntimeException>(async () => await runtime.InferAsync([], Token));

        fault.Retryable.ShouldBeTrue();
        (await process.ExitAsync()).ShouldBe(7);
    }

    [Fact]
    public async Task Sidecar_ToldToEnd_FinishesWhatRunsAndLeavesWithZero()
    {
        await using var process = Transport.StartProcess();
        await using var runtime = await Transport.ConnectAsync(process, "sleep");
        using var moment = Tensors.Int64("ms", 700);
        using var gate = new Gate();
        var running = runtime.InferAsync(gate.Inputs, Token).AsTask();
        await gate.BegunAsync();

        process.Terminate();
        gate.Open();

        using (var outputs = await running)
        {
            outputs.Single().As<long>()[0].ShouldBe(700);
        }

        (await process.ExitAsync()).ShouldBe(0, process.Log);
        (await Should.ThrowAsync<RuntimeException>(async () => await runtime.InferAsync([moment], Token))).Retryable.ShouldBeTrue();
    }

    private sealed class Receiver(List<RuntimeProgress> seen) : IProgress<RuntimeProgress>
    {
        public void Report(RuntimeProgress value)
        {
            lock (seen)
            {
                seen.Add(value);
            }
        }
    }
}
