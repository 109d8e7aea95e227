using System.Net;
using System.Net.Sockets;
using System.Text;
using Myelin.Inference.Runtimes.Oip;
using Myelin.Protocol.Sidecars;
using Myelin.Sidecar;
using Myelin.Sidecar.Http;
using Shouldly;
using Xunit;
using HttpListener = Myelin.Sidecar.Http.HttpListener;

namespace Myelin.Tests.Sidecars.Http;

/// <summary>Bytes that no client of good will sends. Each is answered or cut off, and the next caller notices nothing.</summary>
public sealed class HostileRequestTests : IAsyncLifetime
{
    private const string Head = """{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}""";
    private static readonly HttpListenerOptions s_options = new() { Message = new OipLimits { MaxJsonBytes = 1 << 20, MaxBytes = 4 << 20 }, FirstByte = TimeSpan.FromSeconds(1), MaxCalls = 64 };

    private readonly HttpListener _listener = new(new SidecarAddress(SidecarTransport.Http, null, new Uri("http://127.0.0.1:0")), s_options);
    private readonly ServedModel _model = new(FunctionModel.Identity());

    public async ValueTask InitializeAsync()
    {
        await _listener.StartAsync(CancellationToken.None);
        _listener.Ready([_model]);
    }

    public async ValueTask DisposeAsync()
    {
        using (var client = new HttpClient { BaseAddress = new Uri($"http://{_listener.EndPoint}") })
        {
            using var answer = await client.PostAsync("v2/models/identity/infer", new StringContent("""{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[2.5]}]}"""));
            answer.StatusCode.ShouldBe(HttpStatusCode.OK, "the sidecar serves on");
        }

        _model.Statistics.Running.ShouldBe(0);
        await _listener.DisposeAsync();
        await _model.DisposeAsync();
    }

    [Theory]
    [InlineData("Inference-Header-Content-Length: -1\r\n", Head, 8, "400")]
    [InlineData("Inference-Header-Content-Length: 1000\r\n", Head, 8, "400")]
    [InlineData("Inference-Header-Content-Length: 99999999999999999999\r\n", Head, 8, "400")]
    [InlineData("Inference-Header-Content-Length: 9223372036854775807\r\n", Head, 8, "400")]
    [InlineData("Inference-Header-Content-Length: 90\r\nInference-Header-Content-Length: 90\r\n", Head, 8, "400")]
    [InlineData("Inference-Header-Content-Length: ninety\r\n", Head, 8, "400")]
    [InlineData("Inference-Header-Content-Length: 10\r\n", Head, 8, "400")]
    [InlineData("Inference-Header-Content-Length: 0\r\n", Head, 8, "400")]
    [InlineData("Content-Encoding: gzip\r\n", Head, 8, "501")]
    [InlineData("", Head, 0, "400")]
    [InlineData("", "\u0001\u0002", 0, "400")]
    [InlineData("", "", 0, "400")]
    public async Task Infer_OddHeadersOrBody_AreAnswered(string headers, string head, int binary, string status)
    {
        var body = Encoding.Latin1.GetBytes(head).Concat(new byte[binary]).ToArray();

        (await SendAsync($"{headers}Content-Length: {body.Length}\r\n", body)).ShouldStartWith($"HTTP/1.1 {status}");
    }

    [Theory]
    [InlineData("Content-Length: -5\r\n")]
    [InlineData("Content-Length: 99999999999999999999999\r\n")]
    [InlineData("Content-Length: 5\r\nContent-Length: 6\r\n")]
    [InlineData("Bad Header\r\n")]
    public async Task Infer_BrokenHttp_IsRefused(string headers) => (await SendAsync(headers, [])).ShouldStartWith("HTTP/1.1 400");

    [Fact]
    public async Task Infer_BodyThatDoesNotCome_IsEndedAndGivesItsPlaceBack() =>
        (await SendAsync("Content-Length: 500\r\n", "{"u8.ToArray())).ShouldStartWith("HTTP/1.1 408");

    [Theory]
    [InlineData(5 << 20)]
    [InlineData(long.MaxValue)]
    public async Task Infer_AnnouncesMoreThanAllowed_IsRefusedBeforeItIsRead(long length) =>
        (await SendAsync($"Content-Length: {length}\r\n", [])).ShouldStartWith("HTTP/1.1 4");

    [Fact]
    public async Task Infer_ChunksWithoutEnd_AreCutAtTheLimit()
    {
        var chunk = Encoding.ASCII.GetBytes("10000\r\n" + new string(' ', 65536) + "\r\n");

        (await SendAsync("Transfer-Encoding: chunked\r\n", [.. Enumerable.Repeat(chunk, 32).SelectMany(bytes => bytes)])).ShouldStartWith("HTTP/1.1 400");
    }

    [Fact]
    public async Task Infer_BodyCutShort_DisturbsNobody()
    {
        using var client = await ConnectAsync();
        var stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"POST /v2/models/identity/infer HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: {Head.Length}\r\nContent-Length: {Head.Length + 8}\r\n\r\n{Head}abc"));
        client.Client.Shutdown(SocketShutdown.Send);

        (await ReadAsync(stream)).ShouldNotContain("200 OK");
    }

    [Fact]
    public async Task Infer_ManyTensorsOfHugeShapes_TakeNoMemory()
    {
        var tensors = string.Join(',', Enumerable.Range(0, 64).Select(i => $$$"""{"name":"{{{i}}}","shape":[2147483647],"datatype":"UINT8","parameters":{"binary_data_size":2147483647}}"""));
        var head = Encoding.ASCII.GetBytes($$"""{"inputs":[{{tensors}}]}""");
        var before = GC.GetTotalAllocatedBytes();

        (await SendAsync($"Inference-Header-Content-Length: {head.Length}\r\nContent-Length: {head.Length + 100}\r\n", [.. head, .. new byte[100]])).ShouldStartWith("HTTP/1.1 400");

        (GC.GetTotalAllocatedBytes() - before).ShouldBeLessThan(500 << 20, "other tests allocate too, but not gigabytes");
    }

    [Fact]
    public async Task Connect_SaysNothing_IsCutOff()
    {
        using var client = await ConnectAsync();
        var stream = client.GetStream();

        (await stream.ReadAsync(new byte[1]).AsTask().WaitAsync(TimeSpan.FromMinutes(2))).ShouldBe(0);
    }

    [Fact]
    public async Task Connect_SaysHalfOfHttp2sPreface_IsCutOff()
    {
        using var client = await ConnectAsync();
        var stream = client.GetStream();
        await stream.WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nthis is no frame"u8.ToArray());

        await ReadAsync(stream).WaitAsync(TimeSpan.FromMinutes(2));
    }

    [Fact]
    public async Task Connect_RandomBytes_AreAnsweredOrCutOff()
    {
        var random = new Random(5);
        for (var round = 0; round < 200; round++)
        {
            using var client = await ConnectAsync();
            var stream = client.GetStream();
            var bytes = new byte[random.Next(1, 2000)];
            random.NextBytes(bytes);
            try
            {
                await stream.WriteAsync(bytes);
                client.Client.Shutdown(SocketShutdown.Send);
                (await ReadAsync(stream).WaitAsync(TimeSpan.FromMinutes(2))).ShouldNotContain("200 OK");
            }
            catch (Exception fault) when (fault is IOException or SocketException)
            {
                // cut off
            }
        }
    }

    [Fact]
    public async Task Infer_RandomChangesToAGoodRequest_NeverBecome500()
    {
        var random = new Random(11);
        var good = Encoding.ASCII.GetBytes("""{"id":"1","parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}},{"name":"t","shape":[1],"datatype":"BYTES","data":["é"]}],"outputs":[{"name":"x"}]}abcdefgh""");
        using var client = new HttpClient { BaseAddress = new Uri($"http://{_listener.EndPoint}") };
        for (var round = 0; round < 3000; round++)
        {
            var bytes = good.ToArray();
            for (var change = random.Next(1, 4); change > 0; change--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            using var content = new ByteArrayContent(bytes);
            content.Headers.TryAddWithoutValidation("Inference-Header-Content-Length", $"{good.Length - 8 + (random.Next(10) == 0 ? random.Next(-9, 9) : 0)}");
            using var answer = await client.PostAsync("v2/models/identity/infer", content);
            answer.StatusCode.ShouldBeOneOf([HttpStatusCode.OK, HttpStatusCode.BadRequest, HttpStatusCode.NotImplemented], $"round {round}: {Encoding.Latin1.GetString(bytes)}: {await answer.Content.ReadAsStringAsync()}");
        }
    }

    private async Task<TcpClient> ConnectAsync()
    {
        var client = new TcpClient();
        await client.ConnectAsync((IPEndPoint)_listener.EndPoint!);
        return client;
    }

    private async Task<string> SendAsync(string headers, byte[] body)
    {
        using var client = await ConnectAsync();
        var stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"POST /v2/models/identity/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"));
        try
        {
            await stream.WriteAsync(body);
        }
        catch (IOException)
        {
            // refused before all was sent
        }

        return await ReadAsync(stream).WaitAsync(TimeSpan.FromMinutes(2));
    }

    private static async Task<string> ReadAsync(NetworkStream stream)
    {
        var text = new StringBuilder();
        var buffer = new byte[4096];
        try
        {
            while (await stream.ReadAsync(buffer) is > 0 and var read)
            {
                text.Append(Encoding.Latin1.GetString(buffer, 0, read));
            }
        }
        catch (IOException)
        {
            // cut off; what came before counts
        }

        return text.ToString();
    }
}
