using System.Security.Cryptography;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Hosting.Configuration;
using Myelin.Inference.Runtimes;
using Myelin.Serving.Models.Catalogue;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Models.Catalogue;

/// <summary>Downloads from a real Kestrel that breaks off, lies and resumes.</summary>
public sealed class ModelDownloaderTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private readonly byte[] _content = RandomNumberGenerator.GetBytes(1_000_000);
    private readonly List<string> _ranges = [];
    private WebApplication _source = null!;
    private int _breakAfter = int.MaxValue;

    public async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        _source = builder.Build();
        _source.Urls.Add("http://127.0.0.1:0");
        _source.MapGet("/model.onnx", async (HttpContext context) =>
        {
            _ranges.Add(context.Request.Headers.Range.ToString());
            var from = context.Request.GetTypedHeaders().Range?.Ranges.First().From ?? 0;
            context.Response.StatusCode = from > 0 ? StatusCodes.Status206PartialContent : StatusCodes.Status200OK;
            var count = (int)Math.Min(_breakAfter, _content.Length - from);
            await context.Response.Body.WriteAsync(_content.AsMemory((int)from, count));
            await context.Response.Body.FlushAsync();
            if (from + count < _content.Length)
            {
                context.Abort();
            }
        });
        await _source.StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _source.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Fetch_ConnectionBreaks_ResumesWhereItStopped()
    {
        _breakAfter = 300_000;
        await Should.ThrowAsync<RuntimeException>(() => FetchAsync(Wanted()));
        _breakAfter = int.MaxValue;

        await FetchAsync(Wanted());

        (await File.ReadAllBytesAsync(Target, TestContext.Current.CancellationToken)).ShouldBe(_content);
        _ranges.Count.ShouldBe(2);
        _ranges[1].ShouldStartWith("bytes=");
    }

    [Fact]
    public async Task Fetch_OtherBytesThanPromised_AreThrownAwayAndNamed()
    {
        var wanted = Wanted() with { Sha256 = new string('0', 64) };

        var fault = await Should.ThrowAsync<RuntimeException>(() => FetchAsync(wanted));

        fault.Message.ShouldContain("sha256");
        fault.Retryable.ShouldBeFalse();
        File.Exists(Target).ShouldBeFalse();
        Directory.EnumerateFiles(_folder.Path, "*.part", SearchOption.AllDirectories).ShouldBeEmpty();
    }

    [Fact]
    public async Task Fetch_MoreBytesThanPromised_StopsAtTheLimit()
    {
        await Should.ThrowAsync<RuntimeException>(() => FetchAsync(Wanted() with { Size = 1000 }));

        File.Exists(Target).ShouldBeFalse();
    }

    [Fact]
    public async Task Fetch_MirrorHasTheHashUnderAnotherName_NeverAsksTheNetwork()
    {
        var mirror = _folder.Combine("mirror");
        Directory.CreateDirectory(mirror);
        await File.WriteAllBytesAsync(Path.Combine(mirror, "some-name.bin"), _content, TestContext.Current.CancellationToken);
        await File.WriteAllBytesAsync(Path.Combine(mirror, "same-size.bin"), new byte[_content.Length], TestContext.Current.CancellationToken);

        await FetchAsync(Wanted(), mirror);

        (await File.ReadAllBytesAsync(Target, TestContext.Current.CancellationToken)).ShouldBe(_content);
        _ranges.ShouldBeEmpty();
    }

    private string Target => _folder.Combine("model.onnx");

    private CatalogueFile Wanted() => new()
    {
        Path = "1/model.onnx",
        Url = _source.Urls.First() + "/model.onnx",
        Size = _content.Length,
        Sha256 = Convert.ToHexStringLower(SHA256.HashData(_content)),
    };

    private async Task FetchAsync(CatalogueFile file, string? mirror = null)
    {
        var options = new MyelinOptions { Data = _folder.Path, ModelMirror = mirror };
        using var http = new HttpClient();
        var downloader = new ModelDownloader(options, new ModelMirror(options), http, TimeProvider.System, NullLogger<ModelDownloader>.Instance);
        await downloader.FetchAsync(file, Target, new Progress<long>(), TestContext.Current.CancellationToken);
    }
}
