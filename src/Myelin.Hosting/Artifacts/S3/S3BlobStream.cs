using Amazon.S3;
using Amazon.S3.Model;

namespace Myelin.Hosting.Artifacts.S3;

/// <summary>
/// An object as a stream that can seek: each place is a ranged request, made when something is read there. What breaks
/// on the way is asked for again from where it stopped; a blob that was replaced meanwhile is an error and never a mix.
/// Owner: whoever opened it; one reader at a time.
/// </summary>
internal sealed class S3BlobStream : Stream
{
    private const int MaxAttempts = 3;

    private readonly AmazonS3Client _client;
    private readonly string _bucket;
    private readonly string _key;
    private readonly string _version;
    private GetObjectResponse? _open;
    private long _openAt;
    private long _position;

    public S3BlobStream(AmazonS3Client client, string bucket, string key, GetObjectResponse answer)
    {
        (_client, _bucket, _key, _open, _version) = (client, bucket, key, answer, answer.ETag);
        Length = answer.ContentLength;
    }

    public override bool CanRead => true;

    public override bool CanSeek => true;

    public override bool CanWrite => false;

    public override long Length { get; }

    public override long Position
    {
        get => _position;
        set => Seek(value, SeekOrigin.Begin);
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_position >= Length || buffer.IsEmpty)
        {
            return 0;
        }

        for (var attempt = 1; ; attempt++)
        {
            try
            {
                var content = await ContentAsync(cancellationToken);
                var read = await content.ReadAsync(buffer, cancellationToken);
                if (read == 0)
                {
                    throw new EndOfStreamException($"the content ended at {_position} of {Length}");
                }

                _position += read;
                _openAt = _position;
                return read;
            }
            catch (Exception fault) when (S3Faults.IsFault(fault, cancellationToken))
            {
                Close(ref _open);
                if (attempt == MaxAttempts || fault is AmazonS3Exception)
                {
                    throw S3Faults.ToArtifacts(fault);
                }
            }
        }
    }

    public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override long Seek(long offset, SeekOrigin origin)
    {
        var to = offset + origin switch
        {
            SeekOrigin.Current => _position,
            SeekOrigin.End => Length,
            _ => 0,
        };
        ArgumentOutOfRangeException.ThrowIfNegative(to, nameof(offset));
        return _position = to;
    }

    public override void Flush()
    {
    }

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        Close(ref _open);
        base.Dispose(disposing);
    }

    private async ValueTask<Stream> ContentAsync(CancellationToken cancellationToken)
    {
        if (_open is not null && _openAt != _position)
        {
            Close(ref _open);
        }

        if (_open is null)
        {
            var range = new GetObjectRequest { BucketName = _bucket, Key = _key, ByteRange = new ByteRange(_position, Length - 1), EtagToMatch = _version };
            var answer = await _client.GetObjectAsync(range, cancellationToken);
            if (answer.ETag != _version)
            {
                answer.Dispose();
                throw new IOException("the blob was replaced while it was read"); // by a server that does not look at If-Match
            }

            (_open, _openAt) = (answer, _position);
        }

        return _open.ResponseStream;
    }

    private static void Close(ref GetObjectResponse? answer)
    {
        answer?.Dispose();
        answer = null;
    }
}
