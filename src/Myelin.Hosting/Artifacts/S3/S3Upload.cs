using System.Buffers;
using System.Security.Cryptography;
using Amazon.S3;
using Amazon.S3.Model;

namespace Myelin.Hosting.Artifacts.S3;

/// <summary>
/// One blob from a stream of unknown length into an object: in one request where a part holds it, else part by part. A
/// fault takes the parts back; those of a killed process go in the coordinator's sweep.
/// </summary>
internal sealed class S3Upload(AmazonS3Client client, string bucket, string key, string contentType, int partBytes)
{
    private const int MaxParts = 10_000; // S3's own

    private readonly List<PartETag> _parts = [];
    private string? _upload;

    /// <returns>Size in bytes and SHA-256 in hexadecimal.</returns>
    /// <exception cref="ArtifactsUnavailableException">S3 refused or was away. What <paramref name="content"/> throws passes through.</exception>
    public async Task<(long Size, string Hash)> RunAsync(Stream content, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = ArrayPool<byte>.Shared.Rent(partBytes);
        var whole = false;
        try
        {
            var size = 0L;
            while (true)
            {
                var length = await content.ReadAtLeastAsync(buffer.AsMemory(0, partBytes), partBytes, throwOnEndOfStream: false, cancellationToken);
                hash.AppendData(buffer, 0, length);
                size += length;
                var last = length < partBytes;
                await SendAsync(buffer, length, last, cancellationToken);
                if (last)
                {
                    whole = true;
                    return (size, Convert.ToHexStringLower(hash.GetHashAndReset()));
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            if (!whole)
            {
                await AbortAsync();
            }
        }
    }

    private async Task SendAsync(byte[] buffer, int length, bool last, CancellationToken cancellationToken)
    {
        try
        {
            using var part = new MemoryStream(buffer, 0, length, writable: false);
            if (last && _upload is null)
            {
                await client.PutObjectAsync(
                    new PutObjectRequest { BucketName = bucket, Key = key, ContentType = contentType, InputStream = part, AutoCloseStream = false }, cancellationToken);
                return;
            }

            _upload ??= (await client.InitiateMultipartUploadAsync(
                new InitiateMultipartUploadRequest { BucketName = bucket, Key = key, ContentType = contentType }, cancellationToken)).UploadId;
            if (length > 0)
            {
                await SendPartAsync(part, length, last, cancellationToken);
            }

            if (last)
            {
                await client.CompleteMultipartUploadAsync(
                    new CompleteMultipartUploadRequest { BucketName = bucket, Key = key, UploadId = _upload, PartETags = _parts }, cancellationToken);
            }
        }
        catch (Exception fault) when (S3Faults.IsFault(fault, cancellationToken))
        {
            throw S3Faults.ToArtifacts(fault);
        }
    }

    private async Task SendPartAsync(Stream part, int length, bool last, CancellationToken cancellationToken)
    {
        if (_parts.Count == MaxParts)
        {
            throw new ArtifactsFullException($"a blob has at most {MaxParts} parts of {partBytes} bytes; raise artifacts.s3.partBytes");
        }

        var answer = await client.UploadPartAsync(
            new UploadPartRequest { BucketName = bucket, Key = key, UploadId = _upload, PartNumber = _parts.Count + 1, PartSize = length, InputStream = part, IsLastPart = last },
            cancellationToken);
        _parts.Add(new PartETag(_parts.Count + 1, answer.ETag));
    }

    private async Task AbortAsync()
    {
        if (_upload is null)
        {
            return;
        }

        try
        {
            await client.AbortMultipartUploadAsync(bucket, key, _upload, CancellationToken.None);
        }
        catch (Exception fault) when (S3Faults.IsFault(fault, CancellationToken.None))
        {
            // The sweep takes them.
        }
    }
}
