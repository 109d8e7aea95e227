using System.Buffers;
using System.Net;
using Myelin.Inference.Runtimes.Oip;

namespace Myelin.Server.Inference.Calls;

/// <summary>
/// The body of a caller's request on its way to a worker. A small one is held, so that it can be sent again where a
/// worker refused it; a larger one streams through and can be sent as long as nothing of it was.
/// </summary>
internal sealed class CallBody
{
    /// <summary>Largest body that is held.</summary>
    public const int Held = 64 << 10;

    private readonly HttpRequest _request;
    private readonly byte[]? _held;
    private int _begun;

    private CallBody(HttpRequest request, byte[]? held) => (_request, _held) = (request, held);

    /// <summary>Nothing has left for the worker of the present attempt.</summary>
    public bool IsUnsent => Volatile.Read(ref _begun) == 0;

    /// <summary>After a refusal another worker may have it: what was sent is still here, or nothing was.</summary>
    public bool CanRepeat => _held is not null || IsUnsent;

    public bool IsHeld => _held is not null;

    /// <summary>Why the caller's side gave no more; null while it does.</summary>
    public Exception? Fault { get; private set; }

    public static async ValueTask<CallBody> OfAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        if (request.ContentLength is not { } length || length > Held)
        {
            return new CallBody(request, null);
        }

        var held = new byte[length];
        await request.Body.ReadExactlyAsync(held, cancellationToken);
        return new CallBody(request, held);
    }

    /// <summary>For one attempt.</summary>
    public HttpContent Content()
    {
        Volatile.Write(ref _begun, 0);
        var content = new Forwarded(this);
        foreach (var name in (string[])["Content-Type", "Content-Encoding", OipReader.HeadLengthHeader])
        {
            if (_request.Headers.TryGetValue(name, out var values))
            {
                content.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values);
            }
        }

        return content;
    }

    private sealed class Forwarded(CallBody body) : HttpContent
    {
        protected override bool TryComputeLength(out long length)
        {
            length = body._request.ContentLength ?? 0;
            return body._request.ContentLength is not null;
        }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            if (Interlocked.Exchange(ref body._begun, 1) != 0)
            {
                // The connection pool's own second try: what was taken from the caller is gone.
                throw new IOException("the connection was lost after a part of the call had been sent");
            }

            return body._held is { } held
                ? stream.WriteAsync(held, cancellationToken).AsTask()
                : StreamAsync(stream, cancellationToken);
        }

        private async Task StreamAsync(Stream stream, CancellationToken cancellationToken)
        {
            var buffer = ArrayPool<byte>.Shared.Rent(Held);
            try
            {
                while (await ReadAsync(buffer, cancellationToken) is > 0 and var read)
                {
                    await stream.WriteAsync(buffer.AsMemory(0, read), cancellationToken);
                }
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }

        /// <summary>Whose fault it was decides what becomes of the call, so it is noted where it happens.</summary>
        private async ValueTask<int> ReadAsync(byte[] buffer, CancellationToken cancellationToken)
        {
            try
            {
                return await body._request.Body.ReadAsync(buffer, cancellationToken);
            }
            catch (IOException e)
            {
                body.Fault = e;
                throw;
            }
        }
    }
}
