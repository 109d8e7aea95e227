using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Myelin.Inference.Runtimes.Oip;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Http;

/// <summary>What went wrong at the other end, as the runtime's one exception: the words, and whether a repeat can help.</summary>
internal static class HttpFault
{
    private const int MaxErrorBytes = 64 << 10;

    /// <summary>An answer that is none. Ours and the proxies' "not now" is worth a repeat, all else is not.</summary>
    public static async Task<RuntimeException> FromAnswerAsync(string server, HttpResponseMessage answer, CancellationToken cancellationToken)
    {
        var (text, code) = await ReadErrorAsync(answer, cancellationToken).ConfigureAwait(false);
        var later = answer.StatusCode is HttpStatusCode.ServiceUnavailable or HttpStatusCode.TooManyRequests or HttpStatusCode.BadGateway or HttpStatusCode.GatewayTimeout;
        return new RuntimeException(text ?? $"{server} answered {(int)answer.StatusCode} {answer.ReasonPhrase}", later && code != SidecarErrors.Deadline)
        {
            Code = code ?? answer.StatusCode switch
            {
                _ when later => SidecarErrors.Overloaded,
                HttpStatusCode.BadRequest => SidecarErrors.BadInput,
                HttpStatusCode.NotFound => SidecarErrors.UnknownModel,
                HttpStatusCode.RequestEntityTooLarge => SidecarErrors.TooLarge,
                _ => SidecarErrors.Failed,
            },
        };
    }

    /// <summary>
    /// The connection failed, however that shows: the pool gives back bare faults of sockets where a peer closes, or the
    /// process has no handle left, while a connection is made.
    /// </summary>
    public static bool IsLoss(Exception fault) => fault is HttpRequestException or IOException or SocketException or ObjectDisposedException;

    /// <summary>The connection failed: refused, reset, closed in mid-answer.</summary>
    public static RuntimeException Connection(string server, Exception fault) =>
        new($"the connection to {server} was lost: {(fault.InnerException ?? fault).Message}", retryable: true, fault) { Code = SidecarErrors.ConnectionLost };

    public static RuntimeException Deadline(string server, TimeSpan timeout) =>
        new($"deadline: {server} did not answer within {timeout.TotalSeconds:0.###} s", retryable: false) { Code = SidecarErrors.Deadline };

    /// <summary>A question of health or metadata, which a busy or starting server may answer the next time.</summary>
    public static RuntimeException Silence(string server, TimeSpan timeout) =>
        new($"{server} did not answer within {timeout.TotalSeconds:0.###} s", retryable: true) { Code = SidecarErrors.Overloaded };

    public static RuntimeException Broken(string server, OipException fault) =>
        new($"the answer of {server} breaks the Open Inference Protocol: {fault.Message}", retryable: false, fault) { Code = SidecarErrors.Failed };

    /// <summary><c>error</c> and our <c>code</c> of a failed answer; nulls where the body is something else.</summary>
    public static async Task<(string? Error, string? Code)> ReadErrorAsync(HttpResponseMessage answer, CancellationToken cancellationToken)
    {
        var buffer = new byte[Math.Min(answer.Content.Headers.ContentLength ?? MaxErrorBytes, MaxErrorBytes)];
        try
        {
            var body = await answer.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
            var length = await body.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellationToken).ConfigureAwait(false);
            using var json = JsonDocument.Parse(buffer.AsMemory(0, length));
            return (json.RootElement.Text("error"), json.RootElement.Text("code"));
        }
        catch (Exception fault) when (fault is JsonException || IsLoss(fault))
        {
            return (null, null); // the status speaks for itself
        }
    }
}
