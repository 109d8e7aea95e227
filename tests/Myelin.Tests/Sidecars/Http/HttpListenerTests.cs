using System.Net;
using System.Text.Json;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Http;
using Myelin.Protocol;
using Myelin.Sidecar;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Sidecars.Http;

/// <summary>The Open Inference Protocol as our host serves it, over real sockets and without our own client.</summary>
public class HttpListenerTests
{
    private const string OneFloat = """{"id":"7","inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[2.5]}]}""";
    private static readonly TensorSpec s_floats = new("x", ElementType.Float32, [-1, 2]);

    [Theory]
    [InlineData("1.1")]
    [InlineData("2.0")]
    public async Task Metadata_OnOneAddress_IsServedInBothVersionsOfHttp(string version)
    {
        await using var sidecar = ServedModels.OverTcp(FunctionModel.Identity(s_floats));
        using var ready = await sidecar.ReadyClientAsync();
        using var client = sidecar.Client();
        client.DefaultRequestVersion = new Version(version);
        client.DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact;

        (await JsonAsync(client, "v2")).GetProperty("extensions").EnumerateArray().Select(e => e.GetString()).ShouldContain("binary_tensor_data");
        var model = await JsonAsync(client, "v2/models/identity/versions/1");
        model.GetProperty("name").GetString().ShouldBe("identity");
        model.GetProperty("inputs")[0].GetRawText().ShouldBe("""{"name":"x","datatype":"FP32","shape":[-1,2]}""");
        (await client.GetAsync("v2/health/live")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await client.GetAsync("v2/models/identity/ready")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData("GET", "v2/models/nobody", HttpStatusCode.NotFound, "there are: identity")]
    [InlineData("GET", "v2/models/identity/versions/2", HttpStatusCode.NotFound, "of version '2'")]
    [InlineData("GET", "v2/models/nobody/ready", HttpStatusCode.NotFound, "there are: identity")]
    [InlineData("GET", "v2/models/identity/infer", HttpStatusCode.NotFound, "there is no GET")]
    [InlineData("GET", "v2/elsewhere", HttpStatusCode.NotFound, "there is no GET /v2/elsewhere")]
    [InlineData("GET", "", HttpStatusCode.NotFound, "there is no GET /")]
    [InlineData("POST", "v2/repository/models/identity/unload", HttpStatusCode.NotImplemented, "loaded for as long as")]
    [InlineData("POST", "v2/models/nobody/infer", HttpStatusCode.NotFound, "there are: identity")]
    public async Task Request_ForWhatIsNotThere_IsRefusedInTheProtocolsForm(string method, string path, HttpStatusCode status, string error)
    {
        await using var sidecar = ServedModels.OverSocket(FunctionModel.Identity());
        using var client = await sidecar.ReadyClientAsync();
        using var request = new HttpRequestMessage(new HttpMethod(method), path);

        using var answer = await client.SendAsync(request);

        answer.StatusCode.ShouldBe(status);
        (await ErrorAsync(answer)).ShouldContain(error);
    }

    [Fact]
    public async Task Infer_Json_AnswersInJsonWithTheId()
    {
        await using var sidecar = ServedModels.OverSocket(FunctionModel.Identity());
        using var client = await sidecar.ReadyClientAsync();

        using var answer = await client.PostAsync("v2/models/identity/infer", new StringContent(OneFloat));

        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        answer.Headers.Contains("Inference-Header-Content-Length").ShouldBeFalse();
        var json = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement;
        json.GetProperty("id").GetString().ShouldBe("7");
        json.GetProperty("model_version").GetString().ShouldBe("1");
        json.GetProperty("outputs")[0].GetRawText().ShouldBe("""{"name":"x","datatype":"FP32","shape":[1],"data":[2.5]}""");
    }

    [Fact]
    public async Task Infer_OutputsSelected_GivesThoseInTheirFormAndOrder()
    {
        await using var sidecar = ServedModels.OverSocket(FunctionModel.Identity());
        using var client = await sidecar.ReadyClientAsync();
        const string request = """
            {"parameters":{"binary_data_output":true},
             "inputs":[{"name":"a","shape":[1],"datatype":"UINT8","data":[1]},{"name":"b","shape":[1],"datatype":"UINT8","data":[2]},{"name":"c","shape":[1],"datatype":"UINT8","data":[3]}],
             "outputs":[{"name":"c"},{"name":"a","parameters":{"binary_data":false}}]}
            """;

        using var answer = await client.PostAsync("v2/models/identity/infer", new StringContent(request));

        var bytes = await answer.Content.ReadAsByteArrayAsync();
        var head = int.Parse(answer.Headers.GetValues("Inference-Header-Content-Length").Single());
        bytes[head..].ShouldBe([3]);
        var outputs = JsonDocument.Parse(bytes.AsMemory(0, head)).RootElement.GetProperty("outputs");
        outputs[0].GetProperty("parameters").GetProperty("binary_data_size").GetInt32().ShouldBe(1);
        outputs[1].GetProperty("data")[0].GetInt32().ShouldBe(1);
        outputs.GetArrayLength().ShouldBe(2);
    }

    [Theory]
    [InlineData("FP32", new long[] { -1, 2 }, 16, new long[] { 2, 2 })]
    [InlineData("FP32", new long[] { 2 }, 8, new long[] { 2 })]
    [InlineData("BYTES", new long[] { 1 }, 5, new long[] { 1 })]
    [InlineData("BYTES", new long[] { -1, 1 }, 0, new long[] { 1, 1 })]
    public async Task Infer_RawRequest_FillsTheOneInput(string type, long[] takes, int size, long[] expected)
    {
        ElementTypes.TryParse(type, out var element).ShouldBeTrue();
        await using var sidecar = ServedModels.OverSocket(FunctionModel.Identity(new TensorSpec("x", element, takes)));
        using var client = await sidecar.ReadyClientAsync();
        var body = Enumerable.Range(1, size).Select(value => (byte)value).ToArray();

        using var answer = await RawAsync(client, body);

        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        var bytes = await answer.Content.ReadAsByteArrayAsync();
        var head = int.Parse(answer.Headers.GetValues("Inference-Header-Content-Length").Single());
        bytes[head..].ShouldBe(element == ElementType.Bytes ? [.. BitConverter.GetBytes(size), .. body] : body);
        JsonDocument.Parse(bytes.AsMemory(0, head)).RootElement.GetProperty("outputs")[0].GetProperty("shape").EnumerateArray().Select(d => d.GetInt64()).ShouldBe(expected);
    }

    [Theory]
    [InlineData(7, new long[] { -1, 2 })]
    [InlineData(12, new long[] { -1, 2 })]
    [InlineData(8, new long[] { -1, -1 })]
    [InlineData(8, new long[] { 3 })]
    [InlineData(8, new long[] { 4611686018427387904, 4, -1 })]
    public async Task Infer_RawRequestThatDoesNotFit_IsRefused(int size, long[] takes)
    {
        await using var sidecar = ServedModels.OverSocket(FunctionModel.Identity(new TensorSpec("x", ElementType.Float32, takes)));
        using var client = await sidecar.ReadyClientAsync();

        using var answer = await RawAsync(client, new byte[size]);

        answer.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
    }

    [Fact]
    public async Task Infer_Parameters_ReachTheModelWithoutTheProtocolsOwn()
    {
        var seen = new List<string>();
        await using var sidecar = ServedModels.OverSocket(new FunctionModel("m", (call, _) =>
        {
            seen.Add(call.Parameters.GetRawText());
            return ValueTask.FromResult(new TensorSet([]));
        }));
        using var client = await sidecar.ReadyClientAsync();

        await client.PostAsync("v2/models/m/infer", new StringContent("""{"parameters":{"seed":3},"inputs":[]}"""));
        await client.PostAsync("v2/models/m/infer", new StringContent("""{"parameters":{"binary_data_output":true,"myelin_call":"c","timeout":9000000},"inputs":[]}"""));
        await client.PostAsync("v2/models/m/infer", new StringContent("""{"inputs":[]}"""));

        seen.ShouldBe(["""{"seed":3}""", "{}", "{}"]);
    }

    [Fact]
    public async Task Statistics_AfterCalls_CountThem()
    {
        await using var sidecar = ServedModels.OverSocket(FunctionModel.Identity(), new FunctionModel("fail", (_, _) => throw new InvalidOperationException("no")));
        using var client = await sidecar.ReadyClientAsync();
        await client.PostAsync("v2/models/identity/infer", new StringContent(OneFloat));
        await client.PostAsync("v2/models/fail/infer", new StringContent(OneFloat));

        var all = (await JsonAsync(client, "v2/models/stats")).GetProperty("model_stats");
        var one = (await JsonAsync(client, "v2/models/fail/versions/1/stats")).GetProperty("model_stats");

        all[0].GetProperty("inference_stats").GetProperty("success").GetProperty("count").GetInt32().ShouldBe(1);
        one.GetArrayLength().ShouldBe(1);
        one[0].GetProperty("inference_stats").GetProperty("fail").GetProperty("count").GetInt32().ShouldBe(1);
    }

    [Fact]
    public async Task Infer_ClientGoesAway_StopsThatCallAlone()
    {
        var running = new SemaphoreSlim(0);
        var stopped = new SemaphoreSlim(0);
        await using var sidecar = ServedModels.OverSocket(new FunctionModel("sleep", async (_, cancellationToken) =>
        {
            running.Release();
            try
            {
                await Task.Delay(Timeout.Infinite, cancellationToken);
            }
            finally
            {
                stopped.Release();
            }

            return new TensorSet([]);
        }));
        using var client = await sidecar.ReadyClientAsync();
        using var first = new CancellationTokenSource();
        using var second = new CancellationTokenSource();
        var one = client.PostAsync("v2/models/sleep/infer", new StringContent(OneFloat), first.Token);
        var two = client.PostAsync("v2/models/sleep/infer", new StringContent(OneFloat), second.Token);
        await running.WaitAsync();
        await running.WaitAsync();

        await first.CancelAsync();

        (await stopped.WaitAsync(TimeSpan.FromMinutes(2))).ShouldBeTrue();
        (await stopped.WaitAsync(TimeSpan.FromMilliseconds(200))).ShouldBeFalse();
        two.IsCompleted.ShouldBeFalse();
        await second.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(one);
        await Should.ThrowAsync<OperationCanceledException>(two);
    }

    [Fact]
    public async Task Follow_AfterTheCallHasBegun_HearsWhatIsLeft()
    {
        var go = new TaskCompletionSource();
        var begun = new TaskCompletionSource();
        await using var sidecar = ServedModels.OverSocket(new FunctionModel("m", async (call, _) =>
        {
            call.Report(new RuntimeProgress(1, 2));
            begun.SetResult();
            await go.Task;
            call.Report(new RuntimeProgress(2, 2, new byte[] { 9 }));
            return new TensorSet([]);
        }));
        using var client = await sidecar.ReadyClientAsync();
        var call = client.PostAsync("v2/models/m/infer", new StringContent("""{"parameters":{"myelin_call":"c-1"},"inputs":[]}"""));
        await begun.Task;
        using var following = await client.GetAsync("v2/myelin/calls/c-1", HttpCompletionOption.ResponseHeadersRead);
        using var another = await client.GetAsync("v2/myelin/calls/c-1");
        go.SetResult();

        (await following.Content.ReadAsStringAsync()).ShouldBe(
            "event: progress\ndata: {\"step\":1,\"steps\":2,\"preview\":null}\n\nevent: progress\ndata: {\"step\":2,\"steps\":2,\"preview\":\"CQ==\"}\n\n");
        another.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        (await call).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Stop_WhileACallRuns_AnswersItRefusesOthersAndLeavesNoSocket()
    {
        var go = new TaskCompletionSource();
        var begun = new TaskCompletionSource();
        var sidecar = ServedModels.OverSocket(new FunctionModel("m", async (_, _) =>
        {
            begun.SetResult();
            await go.Task;
            return new TensorSet([]);
        }));
        using var client = await sidecar.ReadyClientAsync();
        var running = client.PostAsync("v2/models/m/infer", new StringContent(OneFloat));
        await begun.Task;

        sidecar.Stop();
        HttpResponseMessage refused;
        do
        {
            refused = await client.GetAsync("v2/health/ready");
        }
        while (refused.IsSuccessStatusCode);
        refused.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        using var late = await client.PostAsync("v2/models/m/infer", new StringContent(OneFloat));
        late.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        (await ErrorAsync(late)).ShouldContain("send it elsewhere");
        go.SetResult();

        (await running).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await sidecar.Host).ShouldBe(0);
        File.Exists(sidecar.Address.Path).ShouldBeFalse();
        await sidecar.DisposeAsync();
    }

    [Fact]
    public async Task Start_OnASocketThatAnotherServes_IsRefusedAndALeftOneIsTaken()
    {
        await using var sidecar = ServedModels.OverSocket(FunctionModel.Identity());
        using var client = await sidecar.ReadyClientAsync();
        (await SidecarHost.ServeAsync([sidecar.Address], [FunctionModel.Identity()], CancellationToken.None)).ShouldBe(1);
        (await client.GetAsync("v2/health/ready")).IsSuccessStatusCode.ShouldBeTrue("the other one took the socket away");

        // What a killed process leaves: the file, and nobody behind it. Unlike .NET's, a plain bind leaves it in place.
        var left = sidecar.Address with { Path = sidecar.Address.Path + "2" };
        using (var python = System.Diagnostics.Process.Start("python3", ["-c", "import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])", left.Path!]))
        {
            await python.WaitForExitAsync();
        }

        File.Exists(left.Path).ShouldBeTrue();
        using var end = new CancellationTokenSource();
        var second = SidecarHost.ServeAsync([left], [FunctionModel.Identity()], end.Token);
        await using (await HttpRuntime.ConnectAsync(new HttpOptions { Address = left }, CancellationToken.None))
        {
            await end.CancelAsync();
        }

        (await second).ShouldBe(0);
    }

    [Fact]
    public async Task Request_FromAPageInABrowser_IsRefused()
    {
        await using var sidecar = ServedModels.OverTcp(FunctionModel.Identity());
        using var client = await sidecar.ReadyClientAsync();
        client.DefaultRequestHeaders.Add("Origin", "https://example.org");

        (await client.PostAsync("v2/models/identity/infer", new StringContent(OneFloat))).StatusCode.ShouldBe(HttpStatusCode.Forbidden);
    }

    private static Task<HttpResponseMessage> RawAsync(HttpClient client, byte[] body)
    {
        var content = new ByteArrayContent(body);
        content.Headers.Add("Inference-Header-Content-Length", "0");
        return client.PostAsync("v2/models/identity/infer", content);
    }

    private static async Task<JsonElement> JsonAsync(HttpClient client, string path) =>
        JsonDocument.Parse(await client.GetStringAsync(path)).RootElement;

    private static async Task<string> ErrorAsync(HttpResponseMessage answer) =>
        JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error").GetString()!;
}
