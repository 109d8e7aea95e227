using System.Collections.Concurrent;
using System.Net;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Http;
using Myelin.Protocol;
using Myelin.Protocol.Sidecars;
using Myelin.Testing;
using Myelin.Tests.Sidecars;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Http;

/// <summary>The client's side of HTTP against our own sidecar host, and against servers that behave badly.</summary>
public class HttpRuntimeTests
{
    [Theory]
    [InlineData(true, false)]
    [InlineData(true, true)]
    [InlineData(false, false)]
    [InlineData(false, true)]
    public async Task Infer_EveryType_ComesBackAsItWent(bool tcp, bool http2)
    {
        await using var sidecar = tcp ? ServedModels.OverTcp(FunctionModel.Identity()) : ServedModels.OverSocket(FunctionModel.Identity());
        await using var runtime = await sidecar.ConnectAsync("identity", http2);
        List<Tensor> inputs = [.. Enum.GetValues<ElementType>().Where(type => type != ElementType.Bytes).Select(type => Tensor.Rent(type.WireName(), type, 2, 3))];
        inputs.Add(new Tensor("texts", ElementType.Bytes, [2], (byte[])[2, 0, 0, 0, 255, 0, 0, 0, 0, 0]));
        inputs.Add(Tensor.Of<double>("scalar", ElementType.Float64, [double.NaN]));
        inputs.Add(Tensor.Rent("empty", ElementType.Float32, 4, 0, 7));
        for (var index = 0; index < 12; index++)
        {
            new Random(index).NextBytes(inputs[index].Bytes.Span);
        }

        using var outputs = await runtime.InferAsync(inputs, CancellationToken.None);

        outputs.Select(output => output.Name).ShouldBe(inputs.Select(input => input.Name));
        foreach (var input in inputs)
        {
            outputs[input.Name].Type.ShouldBe(input.Type);
            outputs[input.Name].Shape.ShouldBe(input.Shape);
            outputs[input.Name].Bytes.ToArray().ShouldBe(input.Bytes.ToArray());
        }

        runtime.Capabilities.ShouldBe(new RuntimeCapabilities("http", 16, Progress: true, Cancel: true));
        runtime.Statistics.Calls.ShouldBe(1);
        inputs.ForEach(input => input.Dispose());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Infer_HundredMegabytes_ComeBackAsTheyWent(bool http2)
    {
        await using var sidecar = ServedModels.OverSocket(new FunctionModel("sum", (call, _) =>
        {
            var output = call.Rent("y", ElementType.UInt8, call.Inputs[0].Bytes.Length);
            call.Inputs[0].Bytes.CopyTo(output.Bytes);
            return ValueTask.FromResult(new TensorSet([output]));
        }));
        await using var runtime = await sidecar.ConnectAsync("sum", http2);
        using var input = runtime is IRuntime any ? any.Rent("x", ElementType.UInt8, 100_000_000) : throw new InvalidOperationException();
        new Random(1).NextBytes(input.Bytes.Span);

        using var outputs = await runtime.InferAsync([input], CancellationToken.None);

        outputs.Single().Bytes.Span.SequenceEqual(input.Bytes.Span).ShouldBeTrue();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Infer_ThousandAtTheSameTime_EachGetsItsOwnAnswer(bool http2)
    {
        await using var sidecar = ServedModels.OverTcp(FunctionModel.Identity());
        await using var runtime = await sidecar.ConnectAsync("identity", http2);

        await Task.WhenAll(Enumerable.Range(0, 1000).Select(async number =>
        {
            using var input = Tensor.Of<int>("x", ElementType.Int32, [number], 1);
            using var outputs = await runtime.InferAsync([input], CancellationToken.None);
            outputs.Single().As<int>()[0].ShouldBe(number);
        }));

        runtime.Statistics.ShouldSatisfyAllConditions(s => s.Calls.ShouldBe(1000), s => s.Running.ShouldBe(0), s => s.Failures.ShouldBe(0));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Infer_Cancelled_StopsTheModel(bool http2)
    {
        var stopped = new TaskCompletionSource();
        var running = new TaskCompletionSource();
        await using var sidecar = ServedModels.OverSocket(
            new FunctionModel("sleep", async (_, cancellationToken) =>
            {
                running.TrySetResult();
                using var stop = cancellationToken.Register(() => stopped.TrySetResult());
                await Task.Delay(Timeout.Infinite, cancellationToken);
                return new TensorSet([]);
            }),
            FunctionModel.Identity());
        await using var runtime = await sidecar.ConnectAsync("sleep", http2);
        using var cancel = new CancellationTokenSource();
        var call = runtime.InferAsync([], cancel.Token).AsTask();
        await running.Task;

        await cancel.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(call);
        await stopped.Task.WaitAsync(TimeSpan.FromMinutes(2));
        runtime.Statistics.Cancelled.ShouldBe(1);
    }

    [Fact]
    public async Task Infer_Progress_ArrivesInOrderBeforeTheResult()
    {
        await using var sidecar = ServedModels.OverSocket(new FunctionModel("steps", (call, _) =>
        {
            for (var step = 1; step <= 40; step++)
            {
                call.Report(new RuntimeProgress(step, 40, step == 2 ? new byte[] { 1, 2, 3 } : default));
            }

            return ValueTask.FromResult(new TensorSet([]));
        }));
        await using var runtime = await sidecar.ConnectAsync("steps");
        var reports = new ConcurrentQueue<RuntimeProgress>();

        using var outputs = await runtime.InferAsync([], new Synchronous(reports.Enqueue), CancellationToken.None);

        reports.Select(report => report.Step).ShouldBe(Enumerable.Range(1, 40));
        reports.ElementAt(1).Preview.ToArray().ShouldBe([1, 2, 3]);
    }

    [Fact]
    public async Task Infer_ProgressSinkThrows_CallGoesOn()
    {
        await using var sidecar = ServedModels.OverSocket(new FunctionModel("steps", (call, _) =>
        {
            call.Report(new RuntimeProgress(1, 1));
            return ValueTask.FromResult(new TensorSet([]));
        }));
        await using var runtime = await sidecar.ConnectAsync("steps");

        using var outputs = await runtime.InferAsync([], new Synchronous(_ => throw new InvalidOperationException("the listener's")), CancellationToken.None);

        outputs.ShouldBeEmpty();
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, true)]
    public async Task Infer_ModelRefuses_SaysWhyAndWhetherToRepeat(bool retryable, bool expected)
    {
        await using var sidecar = ServedModels.OverSocket(new FunctionModel("fail", (_, _) => throw new RuntimeException("too green", retryable)));
        await using var runtime = await sidecar.ConnectAsync("fail");

        var fault = await Should.ThrowAsync<RuntimeException>(runtime.InferAsync([], CancellationToken.None).AsTask());

        fault.Message.ShouldBe("too green");
        fault.Retryable.ShouldBe(expected);
        runtime.Statistics.Failures.ShouldBe(1);
    }

    [Fact]
    public async Task Infer_ModelThrows_IsNotWorthARepeat()
    {
        await using var sidecar = ServedModels.OverSocket(new FunctionModel("fail", (_, _) => throw new DivideByZeroException("nought")));
        await using var runtime = await sidecar.ConnectAsync("fail");

        var fault = await Should.ThrowAsync<RuntimeException>(runtime.InferAsync([], CancellationToken.None).AsTask());

        fault.Message.ShouldBe("nought");
        fault.Retryable.ShouldBeFalse();
    }

    [Fact]
    public async Task Infer_AboveTheServersTime_IsADeadlineAndStopsTheModel()
    {
        var stopped = new TaskCompletionSource();
        await using var sidecar = ServedModels.OverSocket(new FunctionModel("hang", async (_, cancellationToken) =>
        {
            using var stop = cancellationToken.Register(() => stopped.TrySetResult());
            await Task.Delay(Timeout.Infinite, cancellationToken);
            return new TensorSet([]);
        }));
        await using var runtime = await HttpRuntime.ConnectAsync(sidecar.Options("hang") with { CallTimeout = TimeSpan.FromMilliseconds(300) }, CancellationToken.None);

        var fault = await Should.ThrowAsync<RuntimeException>(runtime.InferAsync([], CancellationToken.None).AsTask());

        fault.Code.ShouldBe(SidecarErrors.Deadline);
        fault.Retryable.ShouldBeFalse();
        await stopped.Task.WaitAsync(TimeSpan.FromMinutes(2));
        (await runtime.LiveAsync(CancellationToken.None)).ShouldBeTrue();
    }

    [Fact]
    public async Task Infer_ConnectionCutAfterTheRequest_IsRetryableAndNeverSentAgain()
    {
        using var server = new ScriptedServer((request, _) => request.StartsWith("POST", StringComparison.Ordinal) ? null : ScriptedServer.Metadata(request));
        await using var runtime = await HttpRuntime.ConnectAsync(server.Options, CancellationToken.None);
        using var input = Tensor.Of<int>("x", ElementType.Int32, [1], 1);
        (await Should.ThrowAsync<RuntimeException>(runtime.InferAsync([input], CancellationToken.None).AsTask())).Retryable.ShouldBeTrue();

        server.Requests.Count(request => request.StartsWith("POST", StringComparison.Ordinal)).ShouldBe(1);
    }

    [Theory]
    [InlineData("HTTP/1.1 503 Busy\r\nContent-Length: 16\r\n\r\n{\"error\":\"busy\"}", true, "busy")]
    [InlineData("HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", true, "answered 429")]
    [InlineData("HTTP/1.1 400 Bad\r\nContent-Length: 15\r\n\r\n{\"error\":\"odd\"}", false, "odd")]
    [InlineData("HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nnone", false, "answered 404")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnone", false, "breaks the Open Inference Protocol")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, "outputs must be an array")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"outputs\"", true, "lost")]
    [InlineData("HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 99\r\nContent-Length: 14\r\n\r\n{\"outputs\":[]}", false, "breaks")]
    [InlineData("HTTP/1.1 200 OK\r\nInference-Header-Content-Length: x\r\nContent-Length: 14\r\n\r\n{\"outputs\":[]}", false, "breaks")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n", false, "breaks")]
    [InlineData("rubbish\r\n\r\n", true, "lost")]
    public async Task Infer_BadAnswer_IsNamed(string answer, bool retryable, string message)
    {
        using var server = new ScriptedServer((request, _) => request.StartsWith("POST", StringComparison.Ordinal) ? answer : ScriptedServer.Metadata(request));
        await using var runtime = await HttpRuntime.ConnectAsync(server.Options, CancellationToken.None);
        using var input = Tensor.Of<int>("x", ElementType.Int32, [1], 1);

        var fault = await Should.ThrowAsync<RuntimeException>(runtime.InferAsync([input], CancellationToken.None).AsTask());

        fault.Message.ShouldContain(message);
        fault.Retryable.ShouldBe(retryable);
    }

    [Fact]
    public async Task Infer_ServerWithoutExtensions_IsASidecarAllTheSame()
    {
        const string json = """{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[1,2.5]}]}""";
        using var server = new ScriptedServer((request, _) =>
            request.StartsWith("POST", StringComparison.Ordinal) ? $"HTTP/1.1 200 OK\r\nContent-Length: {json.Length}\r\n\r\n{json}" : ScriptedServer.Metadata(request));
        await using var runtime = await HttpRuntime.ConnectAsync(server.Options, CancellationToken.None);

        using var outputs = await runtime.InferAsync([], new Synchronous(_ => throw new InvalidOperationException()), CancellationToken.None);

        outputs["y"].As<float>().ToArray().ShouldBe([1, 2.5f]);
        runtime.Capabilities.ShouldBe(new RuntimeCapabilities("http", 1, Progress: false, Cancel: false));
        runtime.Inputs.Single().ShouldSatisfyAllConditions(x => x.Name.ShouldBe("x"), x => x.Shape.ShouldBe([-1, 3]));
        server.Requests.ShouldNotContain(request => request.Contains("myelin", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Connect_ServerThatLoads_IsAwaited()
    {
        var loaded = new TaskCompletionSource();
        await using var sidecar = ServedModels.OverSocket(new FunctionModel("m", (_, _) => ValueTask.FromResult(new TensorSet([])))
        {
            Load = cancellationToken => loaded.Task.WaitAsync(cancellationToken),
            Takes = [new TensorSpec("x", ElementType.Float16, [-1, 3])],
            Does = "text-to-image",
        });
        var connecting = HttpRuntime.ConnectAsync(sidecar.Options(null), CancellationToken.None);
        using (var client = sidecar.Client())
        {
            await Wait.UntilAsync(async () => await StatusAsync(client, "v2/health/live") == HttpStatusCode.OK);
            (await StatusAsync(client, "v2/health/ready")).ShouldBe(HttpStatusCode.ServiceUnavailable);
            (await StatusAsync(client, "v2/models/m")).ShouldBe(HttpStatusCode.ServiceUnavailable);
        }

        connecting.IsCompleted.ShouldBeFalse();
        loaded.SetResult();

        await using var runtime = await connecting;
        runtime.Capabilities.Task.ShouldBe("text-to-image");
        runtime.Inputs.Single().Type.ShouldBe(ElementType.Float16);
        (await runtime.ReadyAsync(CancellationToken.None)).ShouldBeTrue();
    }

    [Fact]
    public async Task Connect_LoadingFails_SaysWhyAtOnce()
    {
        await using var sidecar = ServedModels.OverSocket(new FunctionModel("m", (_, _) => default) { Load = _ => throw new InvalidOperationException("no weights here") });

        var fault = await Should.ThrowAsync<RuntimeException>(HttpRuntime.ConnectAsync(sidecar.Options(null), CancellationToken.None));

        fault.Message.ShouldContain("no weights here");
        fault.Code.ShouldBe(SidecarErrors.LoadFailed);
        fault.Retryable.ShouldBeFalse();
        (await sidecar.Host).ShouldBe(1);
    }

    [Fact]
    public async Task Connect_NobodyThere_IsRetryableAfterTheStartTimeout()
    {
        SidecarAddress.TryParse($"http://127.0.0.1:{ServerProcess.FreePort()}", out var address).ShouldBeTrue();

        var fault = await Should.ThrowAsync<RuntimeException>(
            HttpRuntime.ConnectAsync(new HttpOptions { Address = address!, StartTimeout = TimeSpan.FromMilliseconds(300) }, CancellationToken.None));

        fault.Message.ShouldContain("was not ready within 0.3 s");
        fault.Retryable.ShouldBeTrue();
    }

    [Fact]
    public async Task Connect_UnknownModel_NamesThoseThereAre()
    {
        await using var sidecar = ServedModels.OverSocket(FunctionModel.Identity());

        var fault = await Should.ThrowAsync<RuntimeException>(sidecar.ConnectAsync("nobody"));

        fault.Message.ShouldContain("there are: identity");
        fault.Code.ShouldBe(SidecarErrors.UnknownModel);
        fault.Retryable.ShouldBeFalse();
    }

    [Fact]
    public async Task Dispose_WhileACallRuns_FinishesItAndRefusesNew()
    {
        var go = new TaskCompletionSource();
        await using var sidecar = ServedModels.OverSocket(new FunctionModel("m", async (call, _) =>
        {
            await go.Task;
            return FunctionModel.Copy(call.Inputs);
        }));
        var runtime = await sidecar.ConnectAsync("m");
        using var input = Tensor.Of<int>("x", ElementType.Int32, [7], 1);
        var running = runtime.InferAsync([input], CancellationToken.None).AsTask();

        var disposing = runtime.DisposeAsync().AsTask();
        await Should.ThrowAsync<ObjectDisposedException>(runtime.InferAsync([input], CancellationToken.None).AsTask());
        disposing.IsCompleted.ShouldBeFalse();
        go.SetResult();

        using var outputs = await running;
        outputs.Single().As<int>()[0].ShouldBe(7);
        await disposing;
    }

    [Fact]
    public async Task Infer_ServerGone_IsRetryable()
    {
        var sidecar = ServedModels.OverSocket(FunctionModel.Identity());
        await using var runtime = await sidecar.ConnectAsync("identity");
        await sidecar.DisposeAsync();

        var fault = await Should.ThrowAsync<RuntimeException>(runtime.InferAsync([], CancellationToken.None).AsTask());

        fault.Retryable.ShouldBeTrue();
        fault.Code.ShouldBe(SidecarErrors.ConnectionLost);
        (await runtime.LiveAsync(CancellationToken.None)).ShouldBeFalse();
    }

    private static async Task<HttpStatusCode?> StatusAsync(HttpClient client, string path)
    {
        try
        {
            using var answer = await client.GetAsync(path);
            return answer.StatusCode;
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    /// <summary>Reports where the report is made; <see cref="Progress{T}"/> posts them elsewhere, in any order.</summary>
    private sealed class Synchronous(Action<RuntimeProgress> take) : IProgress<RuntimeProgress>
    {
        public void Report(RuntimeProgress value) => take(value);
    }
}
