using System.Buffers.Binary;
using System.Net;
using System.Text;
using System.Text.Json;
using Myelin.Inference.Tasks;
using Myelin.Serving.Admission;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Gateway;

/// <summary>The Open Inference Protocol on a server that has the model itself.</summary>
public sealed class TensorCallTests : IAsyncLifetime
{
    private const string Json = """{"id":"42","inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}""";

    private readonly ModelFolders _models = new();
    private RunningServer _server = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _models.AddIris();
        _server = await RunningServer.StartAsync(o => o with { Models = _models.Root, Calls = o.Calls with { AtOnce = 2 } });
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        _models.Dispose();
    }

    [Fact]
    public async Task Infer_JsonAndBytes_GiveTheSameNumbers()
    {
        var (status, body, _) = await PostAsync("/v2/models/iris/infer", Encoding.UTF8.GetBytes(Json));
        status.ShouldBe(HttpStatusCode.OK, Encoding.UTF8.GetString(body));
        using var answer = JsonDocument.Parse(body);
        answer.RootElement.GetProperty("id").GetString().ShouldBe("42");
        var output = answer.RootElement.GetProperty("outputs")[0];
        var numbers = output.GetProperty("data").EnumerateArray().Select(n => n.GetSingle()).ToArray();
        numbers.Length.ShouldBe(3);

        var head = """{"parameters":{"binary_data_output":true},"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}""";
        var bytes = new byte[head.Length + 16];
        Encoding.UTF8.GetBytes(head, bytes);
        foreach (var (value, i) in ((float[])[5.1f, 3.5f, 1.4f, 0.2f]).Select((v, i) => (v, i)))
        {
            BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(head.Length + (4 * i)), value);
        }

        var (binaryStatus, binary, headLength) = await PostAsync("/v2/models/iris/versions/1/infer", bytes, head.Length);

        binaryStatus.ShouldBe(HttpStatusCode.OK);
        binary.Length.ShouldBe(headLength!.Value + 12);
        Enumerable.Range(0, 3).Select(i => BinaryPrimitives.ReadSingleLittleEndian(binary.AsSpan(headLength.Value + (4 * i)))).ShouldBe(numbers);
    }

    [Theory]
    [InlineData("/v2/models/iris/infer", """{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}""", 400, "inputs[0].name")]
    [InlineData("/v2/models/iris/infer", """{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}""", 400, "inputs[0].shape")]
    [InlineData("/v2/models/iris/infer", """{"inputs":[{"name":"input","shape":[1,4],"datatype":"INT8","data":[1,2,3,4]}]}""", 400, "inputs[0].datatype")]
    [InlineData("/v2/models/iris/infer", """{"inputs":[]}""", 400, "inputs")]
    [InlineData("/v2/models/iris/infer", """{"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}],"outputs":[{"name":"none"}]}""", 400, "outputs")]
    [InlineData("/v2/models/iris/infer", "not json", 400, "body")]
    [InlineData("/v2/models/iris/versions/9/infer", Json, 400, "version")]
    [InlineData("/v2/models/nobody/infer", Json, 404, "nobody")]
    [InlineData("/v2/models/faces/infer", Json, 400, "takes no tensors")]
    public async Task Infer_Wrong_NamesTheField(string path, string json, int expected, string words)
    {
        var (status, body, _) = await PostAsync(path, Encoding.UTF8.GetBytes(json));

        ((int)status).ShouldBe(expected, Encoding.UTF8.GetString(body));
        using var answer = JsonDocument.Parse(body);
        answer.RootElement.GetProperty("error").GetString()!.ShouldContain(words);
    }

    [Theory]
    [InlineData("/v2", "\"binary_tensor_data\"")]
    [InlineData("/v2/health/live", "")]
    [InlineData("/v2/health/ready", "")]
    [InlineData("/v2/models/iris", "\"shape\":[-1,4]")]
    [InlineData("/v2/models/iris/ready", "")]
    public async Task About_ServerAndModel_IsAnswered(string path, string words) =>
        (await _server.Http.GetStringAsync(new Uri(path, UriKind.Relative), Token)).ShouldContain(words);

    /// <summary>Two places: of many at once some are turned away at once, with the time to come back, and none is lost.</summary>
    [Fact]
    public async Task Infer_MoreThanThePlaces_IsRefusedOrAnswered()
    {
        var answers = await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => PostAsync("/v2/models/iris/infer", Encoding.UTF8.GetBytes(Json))));

        answers.ShouldAllBe(a => a.Status == HttpStatusCode.OK || a.Status == HttpStatusCode.TooManyRequests);
        answers.ShouldContain(a => a.Status == HttpStatusCode.OK);
        (await PostAsync("/v2/models/iris/infer", Encoding.UTF8.GetBytes(Json))).Status.ShouldBe(HttpStatusCode.OK, "places come back");
    }

    /// <summary>Tensors share the memory with jobs: a large call waits for it, small ones pass.</summary>
    [Fact]
    public async Task Infer_LargeCallWithoutMemory_WaitsWhileSmallOnesPass()
    {
        const int Rows = 100_000;
        var memory = _server.Get<CallMemory>();
        var held = await memory.EnterAsync(new MemoryNeed(long.MaxValue / 2, Usual: true), Token);
        var head = Encoding.UTF8.GetBytes($$$"""{"parameters":{"binary_data_output":true},"inputs":[{"name":"input","shape":[{{{Rows}}},4],"datatype":"FP32","parameters":{"binary_data_size":{{{Rows * 16}}}}}]}""");

        var large = PostAsync("/v2/models/iris/infer", [.. head, .. new byte[Rows * 16]], head.Length);
        await Wait.UntilAsync(() => memory.Waiting == 1, "the large call in line");
        (await PostAsync("/v2/models/iris/infer", Encoding.UTF8.GetBytes(Json))).Status.ShouldBe(HttpStatusCode.OK);
        large.IsCompleted.ShouldBeFalse();
        held!.Dispose();

        (await large).Status.ShouldBe(HttpStatusCode.OK);
        await Wait.UntilAsync(() => memory.Taken == 0, "the call's memory back, which its answer does not wait for");
    }

    private async Task<(HttpStatusCode Status, byte[] Body, int? HeadLength)> PostAsync(string path, byte[] body, int? headLength = null)
    {
        using var content = new ByteArrayContent(body);
        if (headLength is { } length)
        {
            content.Headers.Add("Inference-Header-Content-Length", length.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }

        using var response = await _server.Http.PostAsync(new Uri(path, UriKind.Relative), content, Token);
        int? answered = response.Headers.TryGetValues("Inference-Header-Content-Length", out var values)
            ? int.Parse(values.Single(), System.Globalization.CultureInfo.InvariantCulture) : null;
        return (response.StatusCode, await response.Content.ReadAsByteArrayAsync(Token), answered);
    }
}
