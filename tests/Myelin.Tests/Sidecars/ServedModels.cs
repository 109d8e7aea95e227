using System.Net.Sockets;
using Myelin.Inference.Runtimes.Http;
using Myelin.Protocol.Sidecars;
using Myelin.Sidecar;
using Myelin.Testing;

namespace Myelin.Tests.Sidecars;

/// <summary>The .NET sidecar host in this process, on real sockets, over HTTP.</summary>
internal sealed class ServedModels : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly CancellationTokenSource _end = new();

    private ServedModels(bool tcp, SidecarModel[] models)
    {
        var text = tcp ? $"http://127.0.0.1:{ServerProcess.FreePort()}" : "http+unix:" + Path.Combine(_folder.Path, "s.sock");
        Address = SidecarAddress.TryParse(text, out var address) ? address : throw new InvalidOperationException(text);
        Host = SidecarHost.ServeAsync([Address], models, _end.Token);
    }

    public SidecarAddress Address { get; }

    /// <summary>Ends with the exit code.</summary>
    public Task<int> Host { get; }

    public static ServedModels OverTcp(params SidecarModel[] models) => new(tcp: true, models);

    public static ServedModels OverSocket(params SidecarModel[] models) => new(tcp: false, models);

    /// <summary>As SIGTERM does.</summary>
    public void Stop() => _end.Cancel();

    public Task<HttpRuntime> ConnectAsync(string model, bool http2 = false) =>
        HttpRuntime.ConnectAsync(Options(model) with { Http2 = http2 }, CancellationToken.None);

    public HttpOptions Options(string? model) => new() { Address = Address, Model = model, StartTimeout = TimeSpan.FromSeconds(20) };

    /// <summary>A plain client, for what no runtime would send.</summary>
    public HttpClient Client()
    {
        var handler = new SocketsHttpHandler();
        if (Address.Path is { } path)
        {
            handler.ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
                return new NetworkStream(socket, ownsSocket: true);
            };
        }

        return new HttpClient(handler) { BaseAddress = Address.Endpoint ?? new Uri("http://localhost"), Timeout = TimeSpan.FromSeconds(30) };
    }

    /// <summary>A client that has waited until the sidecar is ready.</summary>
    public async Task<HttpClient> ReadyClientAsync()
    {
        var client = Client();
        for (var attempt = 0; attempt < 400; attempt++)
        {
            try
            {
                using var ready = await client.GetAsync("v2/health/ready");
                if (ready.IsSuccessStatusCode)
                {
                    return client;
                }
            }
            catch (HttpRequestException) when (!Host.IsCompleted)
            {
                // it does not listen yet
            }

            await Task.Delay(25);
        }

        throw new TimeoutException("the sidecar was not ready");
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        await Host;
        _end.Dispose();
        _folder.Dispose();
    }
}
