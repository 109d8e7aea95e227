using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Artifacts.S3;
using Myelin.Hosting.Configuration;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Artifacts;

/// <summary>A bucket of the small S3 server, which checks signatures.</summary>
public sealed class S3ArtifactsTests : S3ArtifactsConformance
{
    private protected override Task<S3Server> StartAsync() => S3Server.StartAsync();

    [Fact]
    public async Task Start_WrongSecret_NamesTheCureAndNoKey()
    {
        var options = new MyelinOptions { Artifacts = new ArtifactsOptions { S3 = Options with { SecretKey = "not-the-secret" } } };
        using var artifacts = new S3Artifacts(options.Artifacts.S3);

        var fault = await Should.ThrowAsync<ArtifactsUnavailableException>(
            new S3Start(artifacts, options, TimeProvider.System, NullLogger<S3Start>.Instance).StartAsync(Token));

        fault.Message.ShouldContain("Check artifacts.s3.accessKey");
        fault.ToString().ShouldNotContain("not-the-secret");
        options.ToString().ShouldNotContain("not-the-secret");
    }

    [Fact]
    public async Task Start_NoBucket_SaysSoAtOnce()
    {
        var options = new MyelinOptions { Artifacts = new ArtifactsOptions { S3 = Options with { Bucket = "nobodys-bucket" } } };
        using var artifacts = new S3Artifacts(options.Artifacts.S3);

        (await Should.ThrowAsync<ArtifactsUnavailableException>(new S3Start(artifacts, options, TimeProvider.System, NullLogger<S3Start>.Instance).StartAsync(Token)))
            .Message.ShouldContain("Create the bucket");
    }

    [Fact]
    public async Task Start_NoBucketAndAskedToMakeIt_MakesIt()
    {
        using var artifacts = new S3Artifacts(Options with { Bucket = "made-at-the-start", CreateBucket = true });

        await Task.WhenAll(artifacts.CheckAsync(Token), artifacts.CheckAsync(Token)); // two processes at once

        await artifacts.PutAsync("01job", "ab", "t/t", new MemoryStream([1]), Token);
        (await artifacts.OpenAsync("01job", "ab", Token)).ShouldNotBeNull();
    }

    [Fact]
    public async Task Any_ServerAway_IsUnavailable()
    {
        using var artifacts = new S3Artifacts(Options with { Endpoint = $"http://127.0.0.1:{ServerProcess.FreePort()}", Retries = 0 });

        await Should.ThrowAsync<ArtifactsUnavailableException>(artifacts.PutAsync("01job", "ab", "t/t", new MemoryStream([1]), Token).AsTask());
        await Should.ThrowAsync<ArtifactsUnavailableException>(artifacts.OpenAsync("01job", "ab", Token).AsTask());
        await Should.ThrowAsync<ArtifactsUnavailableException>(artifacts.DeleteAsync(["01job"], Token).AsTask());
    }

    /// <summary>A bucket that holds one object fast, as a legal hold does; neither server here knows such a thing, so one that answers as S3 does stands in.</summary>
    [Fact]
    public async Task Delete_ObjectThatIsHeld_TakesTheOthersAndSaysWhich()
    {
        var port = ServerProcess.FreePort();
        using var bucket = new HttpListener { Prefixes = { $"http://127.0.0.1:{port}/" } };
        bucket.Start();
        var asked = new List<string>();
        var serving = ServeAsync();
        using var artifacts = new S3Artifacts(Options with { Endpoint = $"http://127.0.0.1:{port}", Prefix = "p/", Retries = 0 });

        var kept = await Should.ThrowAsync<ArtifactsUndeletableException>(artifacts.DeleteAsync(["01joba", "01jobb"], Token).AsTask());

        kept.Count.ShouldBe(1);
        kept.Message.ShouldContain("01joba");
        kept.Message.ShouldContain("AccessDenied");
        asked.ShouldHaveSingleItem().ShouldContain("p/01jobb/input-a");
        bucket.Stop();
        await Should.ThrowAsync<Exception>(serving);

        async Task ServeAsync()
        {
            while (true)
            {
                var call = await bucket.GetContextAsync();
                var query = call.Request.QueryString;
                using var reader = new StreamReader(call.Request.InputStream);
                var body = await reader.ReadToEndAsync(Token);
                string answer;
                if (call.Request.HttpMethod == "POST")
                {
                    asked.Add(body);
                    answer = "<DeleteResult><Error><Key>p/01joba/input-a</Key><Code>AccessDenied</Code><Message>held</Message></Error></DeleteResult>";
                }
                else if (query["prefix"] is { } prefix && query["list-type"] == "2")
                {
                    answer = $"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>{prefix}input-a</Key><Size>1</Size></Contents></ListBucketResult>";
                }
                else
                {
                    answer = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>";
                }

                call.Response.ContentType = "application/xml";
                await call.Response.OutputStream.WriteAsync(Encoding.UTF8.GetBytes("<?xml version=\"1.0\"?>" + answer), Token);
                call.Response.Close();
            }
        }
    }

    [Fact]
    public async Task Any_ServerSilent_IsUnavailableAfterTheTimeout()
    {
        await using var proxy = new CuttableProxy(Server.Port);
        using var artifacts = new S3Artifacts(Options with { Endpoint = $"http://127.0.0.1:{proxy.Port}", Retries = 0, Timeout = TimeSpan.FromSeconds(1) });
        await artifacts.PutAsync("01job", "ab", "t/t", new MemoryStream([1]), Token);
        proxy.FallSilent();

        await Should.ThrowAsync<ArtifactsUnavailableException>(artifacts.PutAsync("01job", "ab", "t/t", new MemoryStream([1]), Token).AsTask());
    }

    [Fact]
    public async Task Read_ConnectionCut_GoesOnWhereItStopped()
    {
        var bytes = RandomNumberGenerator.GetBytes(30_000_000); // more than what the sockets on the way hold
        await Artifacts.PutAsync("01job", "big", "t/t", new MemoryStream(bytes), Token);
        await using var proxy = new CuttableProxy(Server.Port);
        using var through = new S3Artifacts(Options with { Endpoint = $"http://127.0.0.1:{proxy.Port}" });
        await using var content = (await through.OpenAsync("01job", "big", Token))!;
        var read = new byte[bytes.Length];
        await content.ReadExactlyAsync(read.AsMemory(0, 100_000), Token);

        proxy.SwallowNextAnswers();
        await content.ReadExactlyAsync(read.AsMemory(100_000), Token);

        proxy.Swallowed.ShouldBeGreaterThan(0);
        read.AsSpan().SequenceEqual(bytes).ShouldBeTrue();
    }

    [Fact]
    public async Task ListAndDelete_ThousandsOfBlobs_GiveAndTakeEachJobOnce()
    {
        var jobs = Enumerable.Range(0, 1100).Select(index => $"01job{index:0000}").ToList();
        await Parallel.ForEachAsync(jobs, Token, async (job, token) =>
        {
            foreach (var name in (string[])["input-a", "result-1-b"])
            {
                await Artifacts.PutAsync(job, name, "t/t", new MemoryStream([1]), token);
            }
        });

        (await JobsAsync()).ShouldBe(jobs); // more than a page

        await Artifacts.DeleteAsync(jobs[5..], Token); // more than a request

        (await JobsAsync()).ShouldBe(jobs[..5]);
    }

    [Fact]
    public async Task Server_WithABucket_KeepsPicturesThereAndServesRanges()
    {
        await using var server = await RunningServer.StartAsync(options => options with
        {
            Artifacts = new ArtifactsOptions { S3 = Options },
            Jobs = options.Jobs with { SmallInputBytes = 0 },
        });
        var picture = await File.ReadAllBytesAsync(Path.Combine(Shared.Root, "samples", "portrait.jpg"), Token);
        using var form = new MultipartFormDataContent { { new StringContent("faces"), "model" }, { Picture(picture), "image", "portrait.jpg" } };

        using var submitted = await server.Http.PostAsync("v1/jobs?wait=60s", form, Token);

        var job = JsonDocument.Parse(await submitted.Content.ReadAsStringAsync(Token)).RootElement;
        job.GetProperty("state").GetString().ShouldBe("succeeded", job.GetRawText());
        var id = job.GetProperty("id").GetString()!;
        Directory.Exists(Path.Combine(server.Data, "data", "artifacts")).ShouldBeFalse("blobs belong to the bucket");
        (await JobsAsync()).ShouldContain(id);
        var whole = await server.Http.GetByteArrayAsync($"v1/jobs/{id}/artifacts/annotated.jpg", Token);
        using var request = new HttpRequestMessage(HttpMethod.Get, $"v1/jobs/{id}/artifacts/annotated.jpg") { Headers = { Range = new RangeHeaderValue(1000, 1999) } };
        using var part = await server.Http.SendAsync(request, Token);
        (await part.Content.ReadAsByteArrayAsync(Token)).ShouldBe(whole[1000..2000]);

        using var direct = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false }) { BaseAddress = server.Http.BaseAddress };
        using var redirect = await direct.GetAsync($"v1/jobs/{id}/artifacts/annotated.jpg?redirect=true", Token);
        redirect.StatusCode.ShouldBe(HttpStatusCode.TemporaryRedirect);
        var link = redirect.Headers.Location!;
        link.Port.ShouldBe(Server.Port);
        using var read = await direct.GetAsync(link, Token);
        (await read.Content.ReadAsByteArrayAsync(Token)).ShouldBe(whole);
        var forged = new Uri(link.AbsoluteUri.Replace("annotated.jpg", "other.jpg", StringComparison.Ordinal));
        (await direct.GetAsync(forged, Token)).StatusCode.ShouldBe(HttpStatusCode.Forbidden, "a link reads one blob");
        (await direct.GetByteArrayAsync($"v1/jobs/{id}/artifacts/input-image?redirect=true", Token)).ShouldBe(picture, "small inputs come from here");

        static ByteArrayContent Picture(byte[] bytes) => new(bytes) { Headers = { ContentType = new MediaTypeHeaderValue("image/jpeg") } };
    }
}

/// <summary>The same on moto, which lists unfinished uploads.</summary>
public sealed class MotoArtifactsTests : S3ArtifactsConformance
{
    private protected override Task<S3Server> StartAsync() => S3Server.StartMotoAsync();

    [Fact]
    public async Task Upload_OfAKilledProcess_IsListedAndGoesWithItsJob()
    {
        using var client = new AmazonS3Client(
            new BasicAWSCredentials(S3Server.AccessKey, S3Server.SecretKey), new AmazonS3Config { ServiceURL = Server.Endpoint, ForcePathStyle = true, AuthenticationRegion = "us-east-1" });
        await client.InitiateMultipartUploadAsync(new InitiateMultipartUploadRequest { BucketName = S3Server.Bucket, Key = Options.Prefix + "01killed/big" }, Token);
        await Artifacts.PutAsync("01alive", "ab", "t/t", new MemoryStream([1]), Token);
        (await JobsAsync()).ShouldBe(["01alive", "01killed"]);

        await Artifacts.DeleteAsync(["01killed", "01alive2"], Token);

        (await JobsAsync()).ShouldBe(["01alive"]);
    }

    [Fact]
    public async Task Read_BucketGone_IsUnavailableAndNotMissing()
    {
        using var artifacts = new S3Artifacts(Options with { Bucket = "nobodys-bucket" });

        (await Should.ThrowAsync<ArtifactsUnavailableException>(artifacts.OpenAsync("01job", "ab", Token).AsTask())).Message.ShouldContain("NoSuchBucket");
    }

    [Fact]
    public async Task Put_CancelledAmidParts_TakesThemBack()
    {
        using var cancel = new CancellationTokenSource();
        var source = new CancellingStream(12 << 20, cancel);

        await Should.ThrowAsync<OperationCanceledException>(Artifacts.PutAsync("01job", "ab", "t/t", source, cancel.Token).AsTask());

        (await JobsAsync()).ShouldBeEmpty();
    }

    /// <summary>Cancels while its second part is read.</summary>
    private sealed class CancellingStream(int size, CancellationTokenSource cancel) : MemoryStream(new byte[size])
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (Position > 6 << 20)
            {
                cancel.Cancel();
            }

            cancellationToken.ThrowIfCancellationRequested();
            return base.ReadAsync(buffer[..Math.Min(buffer.Length, 1 << 20)], cancellationToken);
        }
    }
}

/// <summary>What both servers show, beside what every store keeps to.</summary>
public abstract class S3ArtifactsConformance : ArtifactsConformance, IAsyncLifetime
{
    private S3Server? _server;
    private S3Artifacts? _artifacts;

    private protected override IArtifacts Artifacts => _artifacts!;

    private protected S3Server Server => _server!;

    private protected S3Options Options => new()
    {
        Endpoint = Server.Endpoint,
        Bucket = S3Server.Bucket,
        AccessKey = S3Server.AccessKey,
        SecretKey = S3Server.SecretKey,
        Prefix = "some/where/",
        PartBytes = 5 << 20,
    };

    private protected abstract Task<S3Server> StartAsync();

    public async ValueTask InitializeAsync()
    {
        _server = await StartAsync();
        _artifacts = new S3Artifacts(Options);
    }

    [Theory]
    [InlineData(5 << 20)]
    [InlineData((5 << 20) + 1)]
    [InlineData(17_000_000)]
    public async Task Put_InParts_IsReadBackWholeAndInRanges(int size)
    {
        var bytes = RandomNumberGenerator.GetBytes(size);

        var blob = await Artifacts.PutAsync("01job", "big", "t/t", new MemoryStream(bytes), Token);

        (blob.Size, blob.Sha256).ShouldBe((size, Convert.ToHexStringLower(SHA256.HashData(bytes))));
        await using var content = (await Artifacts.OpenAsync("01job", "big", Token))!;
        content.Length.ShouldBe(size);
        var whole = new byte[size];
        await content.ReadExactlyAsync(whole, Token);
        whole.AsSpan().SequenceEqual(bytes).ShouldBeTrue();
        (await content.ReadAsync(whole, Token)).ShouldBe(0);
        foreach (var at in (int[])[size - 1, 0, 4_000_000])
        {
            content.Position = at;
            var some = new byte[Math.Min(1000, size - at)];
            await content.ReadExactlyAsync(some, Token);
            some.ShouldBe(bytes[at..(at + some.Length)]);
        }
    }

    [Fact]
    public async Task Put_SourceFailsAmidParts_LeavesNothing()
    {
        await Should.ThrowAsync<InvalidDataException>(Artifacts.PutAsync("01job", "ab", "t/t", new FailingStream(12 << 20), Token).AsTask());

        (await Artifacts.OpenAsync("01job", "ab", Token)).ShouldBeNull();
        (await JobsAsync()).ShouldBeEmpty();
    }

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        _artifacts?.Dispose();
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
    }
}
