using System.Text;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes;

public class OnnxRuntimeTests
{
    [Fact]
    public async Task Infer_Iris_GivesThreeFiniteLogitsEveryTime()
    {
        await using var runtime = OnnxRuntime.Load(Shared.Zoo("iris.onnx"), new OnnxOptions());
        runtime.Inputs.Single().ShouldSatisfyAllConditions(
            spec => spec.Type.ShouldBe(ElementType.Float32),
            spec => spec.Shape.ShouldBe([-1, 4]));

        using var input = Tensor.Of<float>(runtime.Inputs[0].Name, ElementType.Float32, [5.1f, 3.5f, 1.4f, 0.2f, 6.7f, 3f, 5.2f, 2.3f], 2, 4);
        using var first = await runtime.InferAsync([input], CancellationToken.None);
        using var second = await runtime.InferAsync([input], CancellationToken.None);
        first.Single().Shape.ShouldBe([2, 3]);
        first[0].As<float>().ToArray().ShouldAllBe(value => float.IsFinite(value));
        second[0].As<float>().ToArray().ShouldBe(first[0].As<float>().ToArray());
    }

    [Fact]
    public async Task Infer_OneOfManyWaitingIsCancelled_OnlyThatOneEnds()
    {
        await using var runtime = OnnxRuntime.Load(Shared.Zoo("deeplab_dm05_513.onnx"), new OnnxOptions());
        using var input = Tensor.Rent(runtime.Inputs[0].Name, ElementType.Float32, 1, 3, 513, 513);
        input.As<float>().Fill(0.1f);
        using var cancel = new CancellationTokenSource();
        var calls = Enumerable.Range(0, 5)
            .Select(index => runtime.InferAsync([input], index == 2 ? cancel.Token : CancellationToken.None).AsTask())
            .ToList();
        await cancel.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(calls[2]);
        calls[4].IsCompleted.ShouldBeFalse("a call that waits ends at once, not when its turn comes");
        foreach (var call in calls.Where(call => call != calls[2]))
        {
            using var outputs = await call;
            outputs.Count.ShouldBe(1);
        }
    }

    [Fact]
    public async Task Infer_DoesNotBlockTheCaller()
    {
        await using var runtime = OnnxRuntime.Load(Shared.Zoo("candy.onnx"), new OnnxOptions());
        using var input = Tensor.Rent(runtime.Inputs[0].Name, ElementType.Float32, 1, 3, 720, 720);
        using var cancel = new CancellationTokenSource();

        var running = runtime.InferAsync([input], cancel.Token);

        running.IsCompleted.ShouldBeFalse();
        await cancel.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(running.AsTask());
    }

    [Theory]
    [InlineData("nobody", ElementType.Float32, new long[] { 1, 4 }, "unknown input 'nobody'; there are: input")]
    [InlineData("input", ElementType.Int32, new long[] { 1, 4 }, "is INT32, the network takes FP32")]
    [InlineData("input", ElementType.Float32, new long[] { 1, 5 }, "has shape [1,5], the network takes [-1,4]")]
    public async Task Infer_WrongInput_SaysWhatTheNetworkTakes(string name, ElementType type, long[] shape, string message)
    {
        await using var runtime = OnnxRuntime.Load(Shared.Zoo("iris.onnx"), new OnnxOptions());
        using var input = Tensor.Rent(name, type, shape);

        var fault = await Should.ThrowAsync<RuntimeException>(runtime.InferAsync([input], CancellationToken.None).AsTask());

        fault.Message.ShouldContain(message);
        fault.Retryable.ShouldBeFalse();
    }

    [Fact]
    public void Load_NetworkWithUnknownOperator_SaysSo()
    {
        var fault = Should.Throw<RuntimeException>(() => OnnxRuntime.Load(Shared.Zoo("pcb-aoi.onnx"), new OnnxOptions()));

        fault.Message.ShouldContain("pcb-aoi.onnx does not load");
        fault.Retryable.ShouldBeFalse();
    }

    [Fact]
    public void Load_FileThatIsNoNetwork_SaysSo()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("model.onnx", "this is not a network");

        Should.Throw<RuntimeException>(() => OnnxRuntime.Load(path, new OnnxOptions())).Message.ShouldContain("model.onnx does not load");
    }

    [Fact]
    public async Task Infer_StringsAndIntegers_ComeBackAsTheyWent()
    {
        using var folder = new TemporaryFolder();
        var path = Path.Combine(folder.Path, "identity.onnx");
        await File.WriteAllBytesAsync(path, TinyOnnx.Identity(8 /* string */, "text"));
        await using var runtime = OnnxRuntime.Load(path, new OnnxOptions());
        runtime.Inputs.Single().Type.ShouldBe(ElementType.Bytes);
        var bytes = new List<byte>();
        foreach (var text in new[] { "grün", "", "😀 two" })
        {
            bytes.AddRange(BitConverter.GetBytes(Encoding.UTF8.GetByteCount(text)));
            bytes.AddRange(Encoding.UTF8.GetBytes(text));
        }

        using var input = new Tensor("text", ElementType.Bytes, [3], bytes.ToArray());
        using var outputs = await runtime.InferAsync([input], CancellationToken.None);

        outputs.Single().Bytes.ToArray().ShouldBe(bytes);
        outputs[0].Shape.ShouldBe([3]);
    }

    [Fact]
    public async Task Infer_StringLengthPastTheEnd_IsRefused()
    {
        using var folder = new TemporaryFolder();
        var path = Path.Combine(folder.Path, "identity.onnx");
        await File.WriteAllBytesAsync(path, TinyOnnx.Identity(8, "text"));
        await using var runtime = OnnxRuntime.Load(path, new OnnxOptions());
        using var input = new Tensor("text", ElementType.Bytes, [1], new byte[] { 255, 255, 255, 255, 1 });

        (await Should.ThrowAsync<RuntimeException>(runtime.InferAsync([input], CancellationToken.None).AsTask()))
            .Message.ShouldContain("runs past the end");
    }

    [Theory]
    [InlineData(ElementType.Bool, 9)]
    [InlineData(ElementType.UInt8, 2)]
    [InlineData(ElementType.UInt16, 4)]
    [InlineData(ElementType.UInt32, 12)]
    [InlineData(ElementType.UInt64, 13)]
    [InlineData(ElementType.Int8, 3)]
    [InlineData(ElementType.Int16, 5)]
    [InlineData(ElementType.Int32, 6)]
    [InlineData(ElementType.Int64, 7)]
    [InlineData(ElementType.Float16, 10)]
    [InlineData(ElementType.Float32, 1)]
    [InlineData(ElementType.Float64, 11)]
    public async Task Infer_EveryElementType_ComesBackAsItWent(ElementType type, int onnxType)
    {
        using var folder = new TemporaryFolder();
        var path = Path.Combine(folder.Path, "identity.onnx");
        await File.WriteAllBytesAsync(path, TinyOnnx.Identity(onnxType, "x"));
        await using var runtime = OnnxRuntime.Load(path, new OnnxOptions());
        using var input = Tensor.Rent("x", type, 5);
        input.Bytes.Span.Fill(1);

        using var outputs = await runtime.InferAsync([input], CancellationToken.None);

        outputs[0].Type.ShouldBe(type);
        outputs[0].Bytes.ToArray().ShouldBe(input.Bytes.ToArray());
    }

    [Fact]
    public async Task Dispose_WhileCallsWait_FinishesThemAndRefusesNew()
    {
        var runtime = OnnxRuntime.Load(Shared.Zoo("yolox_nano.onnx"), new OnnxOptions());
        using var input = Tensor.Rent(runtime.Inputs[0].Name, ElementType.Float32, 1, 3, 416, 416);
        input.As<float>().Clear();
        var calls = Enumerable.Range(0, 3).Select(_ => runtime.InferAsync([input], CancellationToken.None).AsTask()).ToList();

        await runtime.DisposeAsync();

        foreach (var call in calls)
        {
            using var outputs = await call;
        }

        await Should.ThrowAsync<ObjectDisposedException>(runtime.InferAsync([input], CancellationToken.None).AsTask());
    }

    [Fact]
    public async Task Infer_FromManyThreads_WithTwoInstances_AllAnswersAgree()
    {
        await using var runtime = OnnxRuntime.Load(Shared.Zoo("mnist.onnx"), new OnnxOptions { Instances = 2 });
        var answers = await Task.WhenAll(Enumerable.Range(0, 64).Select(async _ =>
        {
            using var input = Tensor.Rent(runtime.Inputs[0].Name, ElementType.Float32, 1, 1, 28, 28);
            input.As<float>().Fill(17);
            using var outputs = await runtime.InferAsync([input], CancellationToken.None);
            return outputs[0].As<float>().ToArray();
        }));

        answers.ShouldAllBe(answer => answer.SequenceEqual(answers[0]));
    }

    [Fact]
    public void Initialise_TelemetryIsOff_LeavesNoTrace()
    {
        OnnxEnvironment.Initialise().ShouldNotBeNullOrEmpty();

        // The process's real environment, which native code reads; .NET's copy would prove nothing.
        var trace = Path.Combine(Environment.GetEnvironmentVariable("HOME") ?? "/root", ".cache", "Microsoft");
        Directory.Exists(trace).ShouldBeFalse($"{trace} is where the library's telemetry keeps its device id");
        NativeEnvironment.Read("ORT_DISABLE_TELEMETRY").ShouldBe("1");
    }
}
