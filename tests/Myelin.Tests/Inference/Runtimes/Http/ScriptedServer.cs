using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Myelin.Inference.Runtimes.Http;
using Myelin.Protocol.Sidecars;

namespace Myelin.Tests.Inference.Runtimes.Http;

/// <summary>Answers each request with bytes from a script, one request per connection; no bytes: the connection is cut.</summary>
internal sealed class ScriptedServer : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);

    public ScriptedServer(Func<string, int, string?> answer)
    {
        _listener.Start();
        Options = new HttpOptions
        {
            Address = new SidecarAddress(SidecarTransport.Http, null, new Uri($"http://{_listener.LocalEndpoint}")),
            Model = "m",
            StartTimeout = TimeSpan.FromSeconds(10),
        };
        _ = AcceptAsync(answer);
    }

    public HttpOptions Options { get; }

    /// <summary>The first line of each request, with its body as text.</summary>
    public ConcurrentQueue<string> Requests { get; } = [];

    /// <summary>Of a server that knows nothing of Myelin, with one input.</summary>
    public static string Metadata(string request)
    {
        var json = request.Split(' ')[1] switch
        {
            "/v2" => """{"name":"other","version":"1","extensions":["binary_tensor_data"]}""",
            "/v2/models/m" => """{"name":"m","platform":"p","inputs":[{"name":"x","datatype":"INT32","shape":[-1,3]}],"outputs":[]}""",
            _ => "",
        };
        return $"HTTP/1.1 200 OK\r\nContent-Length: {json.Length}\r\n\r\n{json}";
    }

    public void Dispose() => _listener.Dispose();

    private async Task AcceptAsync(Func<string, int, string?> answer)
    {
        try
        {
            while (true)
            {
                _ = ServeAsync(await _listener.AcceptTcpClientAsync(), answer);
            }
        }
        catch (Exception fault) when (fault is ObjectDisposedException or SocketException)
        {
            // the end
        }
    }

    private async Task ServeAsync(TcpClient client, Func<string, int, string?> answer)
    {
        using var _ = client;
        var stream = client.GetStream();
        var buffer = new byte[64 << 10];
        var text = Encoding.Latin1.GetString(buffer, 0, await stream.ReadAsync(buffer));
        while (!Whole(text))
        {
            text += Encoding.Latin1.GetString(buffer, 0, await stream.ReadAsync(buffer));
        }

        Requests.Enqueue(text);
        if (answer(text, Requests.Count) is { } bytes)
        {
            await stream.WriteAsync(Encoding.Latin1.GetBytes(bytes));
        }
    }

    private static bool Whole(string text)
    {
        var head = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
        var at = text.IndexOf("Content-Length: ", StringComparison.OrdinalIgnoreCase);
        return head >= 0 && (at < 0 || at > head || text.Length >= head + 4 + int.Parse(text[(at + 16)..text.IndexOf('\r', at)]));
    }
}
