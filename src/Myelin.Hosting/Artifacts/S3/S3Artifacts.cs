using System.Collections.Concurrent;
using System.Net;
using System.Runtime.CompilerServices;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Artifacts.S3;

/// <summary>
/// Blobs as objects <c>&lt;prefix&gt;&lt;job&gt;/&lt;name&gt;</c> of a bucket. S3 makes an object visible whole or not at
/// all, and answers once it is stored. Small blobs are one request; larger ones go in parts, one of which is in memory.
/// </summary>
internal sealed class S3Artifacts : IArtifacts, IDisposable
{
    /// <summary>S3's own: keys in a page, and in a request that deletes.</summary>
    private const int Page = 1000;

    /// <summary>Requests at a time that ask for the blobs of one job each.</summary>
    private const int Lists = 16;

    private readonly AmazonS3Client _client;
    private readonly AmazonS3Client _links;
    private readonly S3Options _options;
    private readonly string _prefix;

    public S3Artifacts(S3Options options)
    {
        _options = options;
        _prefix = options.Prefix ?? throw new ArgumentException("The prefix is not decided.", nameof(options));
        _client = Client(options, options.Endpoint);
        _links = LinkEndpoint == options.Endpoint ? _client : Client(options, LinkEndpoint);
    }

    public static IEnumerable<string> Errors(MyelinOptions options)
    {
        var s3 = options.Artifacts.S3;
        if (s3.AccessKey.Length > 0 != s3.SecretKey.Length > 0)
        {
            yield return "artifacts.s3.accessKey and artifacts.s3.secretKey stand together: give both, or neither for what the machine has";
        }
    }

    private string LinkEndpoint => _options.LinkEndpoint.Length > 0 ? _options.LinkEndpoint : _options.Endpoint;

    public async ValueTask<JobArtifact> PutAsync(string job, string name, string contentType, Stream content, CancellationToken cancellationToken)
    {
        var upload = new S3Upload(_client, _options.Bucket, Key(job, BlobName.Checked(name)), contentType, _options.PartBytes);
        var (size, hash) = await upload.RunAsync(content, cancellationToken);
        return new JobArtifact(name, contentType, size, hash);
    }

    public async ValueTask<Stream?> OpenAsync(string job, string name, CancellationToken cancellationToken)
    {
        var key = Key(job, BlobName.Checked(name));
        try
        {
            // At once with its content: most are read from the begin to the end.
            var answer = await _client.GetObjectAsync(_options.Bucket, key, cancellationToken);
            return new S3BlobStream(_client, _options.Bucket, key, answer);
        }
        catch (NoSuchKeyException)
        {
            return null;
        }
        catch (Exception fault) when (S3Faults.IsFault(fault, cancellationToken))
        {
            throw S3Faults.ToArtifacts(fault);
        }
    }

    /// <summary>Signed here, without a request. What a browser does with the bytes is signed too.</summary>
    public Uri Link(string job, string name, string contentType, string disposition) => new(_links.GetPreSignedURL(new GetPreSignedUrlRequest
    {
        BucketName = _options.Bucket,
        Key = Key(job, BlobName.Checked(name)),
        Protocol = LinkEndpoint.StartsWith("http:", StringComparison.OrdinalIgnoreCase) ? Amazon.S3.Protocol.HTTP : Amazon.S3.Protocol.HTTPS,
        Expires = TimeProvider.System.GetUtcNow().UtcDateTime + _options.LinkLifetime, // the SDK signs by this clock
        ResponseHeaderOverrides = new ResponseHeaderOverrides { ContentType = contentType, ContentDisposition = disposition },
    }));

    public async ValueTask DeleteAsync(IReadOnlyCollection<string> jobs, CancellationToken cancellationToken)
    {
        var kept = new List<DeleteError>();
        foreach (var some in jobs.Chunk(Page))
        {
            await AbortUploadsAsync([.. some], cancellationToken);
            var keys = new ConcurrentBag<string>();
            await Parallel.ForEachAsync(
                some,
                new ParallelOptions { MaxDegreeOfParallelism = Lists, CancellationToken = cancellationToken },
                async (job, token) =>
                {
                    await foreach (var page in PagesAsync(Key(job, ""), delimiter: null, token))
                    {
                        foreach (var blob in page.S3Objects ?? [])
                        {
                            keys.Add(blob.Key);
                        }
                    }
                });
            foreach (var batch in keys.Chunk(Page))
            {
                var request = new DeleteObjectsRequest { BucketName = _options.Bucket, Quiet = true, Objects = [.. batch.Select(key => new KeyVersion { Key = key })] };
                try
                {
                    await AskAsync(() => _client.DeleteObjectsAsync(request, cancellationToken), cancellationToken);
                }
                catch (ArtifactsUnavailableException e) when (e.InnerException is DeleteObjectsException refused)
                {
                    kept.AddRange(refused.Response.DeleteErrors);
                }
            }
        }

        if (kept is [var first, ..])
        {
            throw new ArtifactsUndeletableException(
                kept.DistinctBy(e => Folder(e.Key)).Count(), Folder(first.Key), $"S3 refused: {first.Code}. A hold or a lock on the bucket's objects keeps them.");
        }
    }

    /// <summary>By folder: a thousand jobs, or whatever else lies there, a request.</summary>
    public async IAsyncEnumerable<string> ListJobsAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var unfinished = (await UploadsAsync(_prefix, cancellationToken)).Select(upload => Folder(upload.Key)).ToHashSet(StringComparer.Ordinal);
        await foreach (var page in PagesAsync(_prefix, delimiter: "/", cancellationToken))
        {
            foreach (var folder in page.CommonPrefixes ?? [])
            {
                var job = Folder(folder);
                unfinished.Remove(job); // its objects lead to it
                yield return job;
            }

            foreach (var stray in (page.S3Objects ?? []).Where(o => o.Key != MarkKey))
            {
                yield return "/" + stray.Key;
            }
        }

        foreach (var job in unfinished)
        {
            yield return job;
        }
    }

    public string MarkPlace => $"s3://{_options.Bucket}/{MarkKey}";

    private string MarkKey => _prefix + BlobName.Mark;

    public async ValueTask<string?> ReadMarkAsync(CancellationToken cancellationToken)
    {
        try
        {
            using var answer = await _client.GetObjectAsync(_options.Bucket, MarkKey, cancellationToken);
            using var reader = new StreamReader(answer.ResponseStream);
            var text = new char[BlobName.MarkLength];
            return new string(text, 0, await reader.ReadBlockAsync(text, cancellationToken));
        }
        catch (NoSuchKeyException)
        {
            return null;
        }
        catch (Exception fault) when (S3Faults.IsFault(fault, cancellationToken))
        {
            throw S3Faults.ToArtifacts(fault);
        }
    }

    public async ValueTask WriteMarkAsync(string mark, CancellationToken cancellationToken)
    {
        var request = new PutObjectRequest { BucketName = _options.Bucket, Key = MarkKey, ContentType = "text/plain", ContentBody = mark };
        await AskAsync(() => _client.PutObjectAsync(request, cancellationToken), cancellationToken);
    }

    /// <summary>Asks for the bucket with our keys; makes it where that is wished.</summary>
    /// <exception cref="ArtifactsUnavailableException">It is not there or refuses us.</exception>
    public async Task CheckAsync(CancellationToken cancellationToken)
    {
        try
        {
            await PageAsync(_prefix, delimiter: null, after: null, cancellationToken);
        }
        catch (ArtifactsUnavailableException fault) when (_options.CreateBucket && fault.InnerException is AmazonS3Exception { ErrorCode: "NoSuchBucket" })
        {
            try
            {
                await AskAsync(() => _client.PutBucketAsync(_options.Bucket, cancellationToken), cancellationToken);
            }
            catch (ArtifactsUnavailableException other) when (other.InnerException is AmazonS3Exception { StatusCode: HttpStatusCode.Conflict })
            {
                // Another process has made it meanwhile.
            }

            await PageAsync(_prefix, delimiter: null, after: null, cancellationToken);
        }
    }

    public void Dispose()
    {
        _client.Dispose();
        _links.Dispose();
    }

    private static AmazonS3Client Client(S3Options options, string endpoint)
    {
        var config = new AmazonS3Config
        {
            ForcePathStyle = options.PathStyle && endpoint.Length > 0,
            Timeout = options.Timeout,
            MaxErrorRetry = options.Retries,
            RetryMode = RequestRetryMode.Standard,

            // The signature covers the content's hash already; further checksums are headers that older servers refuse.
            RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED,
            ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED,
        };
        if (endpoint.Length > 0)
        {
            (config.ServiceURL, config.AuthenticationRegion) = (endpoint, options.Region);
        }
        else
        {
            config.RegionEndpoint = Amazon.RegionEndpoint.GetBySystemName(options.Region);
        }

        return options.AccessKey.Length > 0
            ? new AmazonS3Client(new BasicAWSCredentials(options.AccessKey, options.SecretKey), config)
            : new AmazonS3Client(config);
    }

    private string Key(string job, string name) => $"{_prefix}{BlobName.Checked(job)}/{name}";

    /// <summary>The first part of a key behind the prefix; a key without parts is no job's.</summary>
    private string Folder(string key) => key.IndexOf('/', _prefix.Length) is >= 0 and var end ? key[_prefix.Length..end] : "";

    private async IAsyncEnumerable<ListObjectsV2Response> PagesAsync(string prefix, string? delimiter, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        string? after = null;
        do
        {
            var page = await PageAsync(prefix, delimiter, after, cancellationToken);
            yield return page;
            after = page.IsTruncated == true ? page.NextContinuationToken : null;
        }
        while (after is not null);
    }

    private Task<ListObjectsV2Response> PageAsync(string prefix, string? delimiter, string? after, CancellationToken cancellationToken)
    {
        var request = new ListObjectsV2Request { BucketName = _options.Bucket, Prefix = prefix, Delimiter = delimiter, ContinuationToken = after };
        return AskAsync(() => _client.ListObjectsV2Async(request, cancellationToken), cancellationToken);
    }

    private async Task AbortUploadsAsync(HashSet<string> jobs, CancellationToken cancellationToken)
    {
        var prefix = jobs.Count == 1 ? Key(jobs.First(), "") : _prefix;
        foreach (var upload in (await UploadsAsync(prefix, cancellationToken)).Where(u => jobs.Contains(Folder(u.Key))))
        {
            await AskAsync(() => _client.AbortMultipartUploadAsync(_options.Bucket, upload.Key, upload.UploadId, cancellationToken), cancellationToken);
        }
    }

    /// <summary>Uploads in parts that have not ended, of processes that were killed; at most a thousand, the sweep comes again.</summary>
    private async Task<List<MultipartUpload>> UploadsAsync(string prefix, CancellationToken cancellationToken)
    {
        try
        {
            var request = new ListMultipartUploadsRequest { BucketName = _options.Bucket, Prefix = prefix };
            return (await _client.ListMultipartUploadsAsync(request, cancellationToken)).MultipartUploads ?? [];
        }
        catch (AmazonS3Exception fault) when (fault.StatusCode == HttpStatusCode.NotImplemented)
        {
            return []; // small servers have no such list
        }
        catch (Exception fault) when (S3Faults.IsFault(fault, cancellationToken))
        {
            throw S3Faults.ToArtifacts(fault);
        }
    }

    private static async Task<T> AskAsync<T>(Func<Task<T>> ask, CancellationToken cancellationToken)
    {
        try
        {
            return await ask();
        }
        catch (Exception fault) when (S3Faults.IsFault(fault, cancellationToken))
        {
            throw S3Faults.ToArtifacts(fault);
        }
    }
}
