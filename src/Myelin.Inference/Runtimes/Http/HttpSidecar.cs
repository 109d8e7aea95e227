using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Myelin.Inference.Runtimes.Oip;

namespace Myelin.Inference.Runtimes.Http;

/// <summary>
/// The connections to one server: those of calls, bounded, and a few of their own for health, metadata and progress, so
/// that a server whose every connection computes still answers whether it lives. Safe for concurrent use.
/// </summary>
internal sealed class HttpSidecar : IDisposable
{
    private readonly HttpMessageInvoker _calls;
    private readonly HttpMessageInvoker _control;
    private readonly HttpOptions _options;
    private readonly Uri _base;

    public HttpSidecar(HttpOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxConnections, 1);
        _options = options;
        Name = options.Address.ToString().TrimEnd('/');
        _base = options.Address.Endpoint is { } endpoint ? new Uri(endpoint.ToString().TrimEnd('/') + "/") : new Uri("http://localhost/");
        _calls = new HttpMessageInvoker(Handler(options, options.MaxConnections));
        _control = new HttpMessageInvoker(Handler(options, int.MaxValue));
    }

    /// <summary>The address, for people.</summary>
    public string Name { get; }

    /// <summary>Sends a call; returns at the answer's head.</summary>
    public Task<HttpResponseMessage> CallAsync(string path, HttpContent content, CancellationToken cancellationToken) =>
        _calls.SendAsync(Request(HttpMethod.Post, path, content), cancellationToken);

    /// <summary>Opens what is read until its end, such as events.</summary>
    public Task<HttpResponseMessage> OpenAsync(string path, CancellationToken cancellationToken) =>
        _control.SendAsync(Request(HttpMethod.Get, path, null), cancellationToken);

    /// <summary>Asks for JSON.</summary>
    /// <returns>Null JSON where the answer is none, or an error whose words are <c>Error</c>.</returns>
    /// <exception cref="RuntimeException">No connection, or no answer in time.</exception>
    public async Task<HttpAnswer> AskAsync(HttpMethod method, string path, CancellationToken cancellationToken)
    {
        using var late = new CancellationTokenSource(_options.ControlTimeout, _options.Time);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        try
        {
            using var answer = await _control.SendAsync(Request(method, path, method == HttpMethod.Post ? new StringContent("{}") : null), patience.Token).ConfigureAwait(false);
            if (!answer.IsSuccessStatusCode)
            {
                var (error, code) = await HttpFault.ReadErrorAsync(answer, patience.Token).ConfigureAwait(false);
                return new HttpAnswer(answer.StatusCode, null, error, code);
            }

            await answer.Content.LoadIntoBufferAsync(_options.Message.MaxJsonBytes, patience.Token).ConfigureAwait(false);
            var bytes = await answer.Content.ReadAsByteArrayAsync(patience.Token).ConfigureAwait(false);
            return new HttpAnswer(answer.StatusCode, bytes.Length == 0 ? null : JsonDocument.Parse(bytes, OipReader.JsonOptions), null, null);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw HttpFault.Silence(Name, _options.ControlTimeout);
        }
        catch (Exception fault) when (HttpFault.IsLoss(fault))
        {
            throw HttpFault.Connection(Name, fault);
        }
        catch (JsonException fault)
        {
            throw new RuntimeException($"{Name} answered {path} with something that is not JSON: {fault.Message}", retryable: false, fault);
        }
    }

    public void Dispose()
    {
        _calls.Dispose();
        _control.Dispose();
    }

    private HttpRequestMessage Request(HttpMethod method, string path, HttpContent? content) => new(method, new Uri(_base, path))
    {
        Content = content,
        Version = _options.Http2 ? HttpVersion.Version20 : HttpVersion.Version11,
        VersionPolicy = HttpVersionPolicy.RequestVersionExact,
    };

    private static SocketsHttpHandler Handler(HttpOptions options, int connections)
    {
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            UseProxy = false,
            ActivityHeadersPropagator = null,
            MaxConnectionsPerServer = connections,
            ConnectTimeout = options.ConnectTimeout,
            PooledConnectionIdleTimeout = options.IdleTimeout,
            MaxResponseDrainSize = 0, // a call that is given up ends its connection, which is what tells the server
            EnableMultipleHttp2Connections = true,
            InitialHttp2StreamWindowSize = 4 << 20,
        };
        handler.ConnectCallback = options.Address.Path is { } path
            ? (_, cancellationToken) => ConnectAsync(new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified), new UnixDomainSocketEndPoint(path), cancellationToken)
            : null;
        return handler;
    }

    private static async ValueTask<Stream> ConnectAsync(Socket socket, EndPoint endpoint, CancellationToken cancellationToken)
    {
        try
        {
            await socket.ConnectAsync(endpoint, cancellationToken).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}

/// <summary>The answer to a question of health or metadata.</summary>
/// <param name="Json">The caller disposes it; null where there is none.</param>
/// <param name="Error">What the server says is wrong.</param>
/// <param name="Code">Our stable name for it.</param>
internal sealed record HttpAnswer(HttpStatusCode Status, JsonDocument? Json, string? Error, string? Code) : IDisposable
{
    public bool Ok => Status == HttpStatusCode.OK;

    public void Dispose() => Json?.Dispose();
}
