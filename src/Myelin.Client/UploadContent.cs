using System.Net;
using System.Net.Http.Headers;

namespace Myelin.Client;

/// <summary>
/// A file part that reports what has been sent. Not disposed with the request, so that a repeat can send it again from
/// where it began.
/// </summary>
internal sealed class UploadContent : HttpContent
{
    private const int Chunk = 64 << 10;

    private readonly Stream _source;
    private readonly long _start;
    private readonly Action<int> _sent;

    public UploadContent(JobFile file, Action<int> sent)
    {
        _source = file.Content;
        _start = _source.CanSeek ? _source.Position : 0;
        _sent = sent;
        Headers.ContentType = MediaTypeHeaderValue.Parse(file.ContentType);
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        var buffer = new byte[Chunk];
        int read;
        while ((read = await _source.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
        {
            await stream.WriteAsync(buffer.AsMemory(0, read), cancellationToken).ConfigureAwait(false);
            _sent(read);
        }
    }

    protected override bool TryComputeLength(out long length)
    {
        length = _source.CanSeek ? _source.Length - _start : 0;
        return _source.CanSeek;
    }
}
