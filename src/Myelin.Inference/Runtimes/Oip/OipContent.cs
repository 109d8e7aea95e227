using System.Net;
using System.Net.Http.Headers;

namespace Myelin.Inference.Runtimes.Oip;

/// <summary>
/// A request's body: the JSON, then the memory of the tensors, which is sent as it is. Goes out at most once: a call
/// whose bytes may have arrived is never sent again by the connection pool, only by who knows what a repeat means.
/// HTTP/2 answers may come while this is still being sent: <see cref="LetGoAsync"/> before the tensors are given away.
/// </summary>
internal sealed class OipContent : HttpContent
{
    private static readonly MediaTypeHeaderValue s_type = new("application/octet-stream");
    private readonly ReadOnlyMemory<byte> _head;
    private readonly IReadOnlyList<Tensor> _tensors;
    private readonly long _length;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _begun;

    public OipContent(ReadOnlyMemory<byte> head, IReadOnlyList<Tensor> tensors)
    {
        (_head, _tensors) = (head, tensors);
        _length = head.Length;
        foreach (var tensor in tensors)
        {
            _length += tensor.Bytes.Length;
        }

        Headers.ContentType = s_type;
        Headers.TryAddWithoutValidation(OipReader.HeadLengthHeader, head.Length.ToString(System.Globalization.CultureInfo.InvariantCulture));
    }

    protected override bool TryComputeLength(out long length)
    {
        length = _length;
        return true;
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        if (Interlocked.Exchange(ref _begun, 1) != 0)
        {
            throw new IOException("the connection was lost after a part of the call had been sent");
        }

        try
        {
            await stream.WriteAsync(_head, cancellationToken).ConfigureAwait(false);
            foreach (var tensor in _tensors)
            {
                await stream.WriteAsync(tensor.Bytes, cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            _ended.TrySetResult();
        }
    }

    /// <summary>Ends when the tensors' memory is not read any more; nothing reads it afterwards.</summary>
    public Task LetGoAsync() => Interlocked.Exchange(ref _begun, 1) == 0 ? Task.CompletedTask : _ended.Task;
}
