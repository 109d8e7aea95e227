using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace Myelin.Client;

public sealed partial class MyelinClient
{
    /// <summary>
    /// Writes an artifact to a stream. A dropped connection is taken up where it broke (range request); the content is
    /// checked against the artifact's SHA-256.
    /// </summary>
    /// <exception cref="InvalidDataException">The bytes are not the ones the server described.</exception>
    public async Task DownloadAsync(
        JobArtifact artifact, Stream destination, IProgress<TransferProgress>? progress, CancellationToken cancellationToken)
    {
        var path = artifact.Url ?? throw new ArgumentException($"The artifact {artifact.Name} has no address to fetch it from.", nameof(artifact));
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long done = 0;
        for (var fruitless = 0; ; fruitless++)
        {
            var before = done;
            try
            {
                using var response = await _transport.SendAsync(() => Range(path, done), static () => true, cancellationToken).ConfigureAwait(false);
                var skip = response.StatusCode == HttpStatusCode.PartialContent ? 0 : done;
                var source = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
                await using (source.ConfigureAwait(false))
                {
                    var buffer = new byte[64 << 10];
                    int read;
                    while ((read = await source.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
                    {
                        // A server that ignores ranges begins again: what is known already is passed over.
                        var known = (int)Math.Min(skip, read);
                        skip -= known;
                        var fresh = buffer.AsMemory(known, read - known);
                        hash.AppendData(fresh.Span);
                        await destination.WriteAsync(fresh, cancellationToken).ConfigureAwait(false);
                        done += fresh.Length;
                        progress?.Report(new(done, artifact.Size));
                    }
                }

                if (done >= artifact.Size)
                {
                    break;
                }

                throw new IOException($"The connection ended {artifact.Size - done} bytes early.");
            }
            catch (Exception e) when (IsDrop(e, cancellationToken))
            {
                fruitless = done > before ? 0 : fruitless;
                if (fruitless >= options.MaxRetries)
                {
                    throw new MyelinUnreachableException(Server, e);
                }

                await _transport.BackoffAsync(fruitless, cancellationToken).ConfigureAwait(false);
            }
        }

        var actual = Convert.ToHexStringLower(hash.GetHashAndReset());
        if (done != artifact.Size || actual != artifact.Sha256)
        {
            throw new InvalidDataException(
                $"{artifact.Name} arrived as {done} bytes with SHA-256 {actual}, not {artifact.Size} bytes with {artifact.Sha256}. Fetch it again.");
        }
    }

    /// <summary>Bytes of a picture that the job shows while it runs (<see cref="JobProgress.Preview"/>); null once it is gone.</summary>
    public async Task<byte[]?> PreviewAsync(string url, CancellationToken cancellationToken)
    {
        try
        {
            using var response = await _transport.GetAsync(url, cancellationToken).ConfigureAwait(false);
            return await response.Content.ReadAsByteArrayAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (MyelinException e) when (e.Status is HttpStatusCode.NotFound or HttpStatusCode.Gone)
        {
            return null;
        }
    }

    private HttpRequestMessage Range(string path, long from)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, _transport.Resolve(path));
        if (from > 0)
        {
            request.Headers.Range = new RangeHeaderValue(from, null);
        }

        return request;
    }
}
