using System.Security.Cryptography;
using Myelin.Hosting.Artifacts;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Artifacts;

/// <summary>What every store of blobs keeps to. A class per implementation derives from it.</summary>
public abstract class ArtifactsConformance
{
    private protected abstract IArtifacts Artifacts { get; }

    private protected static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(3_000_000)]
    public async Task Put_Blob_IsReadBackWithSizeAndHash(int size)
    {
        var bytes = RandomNumberGenerator.GetBytes(size);
        var blob = await Artifacts.PutAsync("01job", "image.png", "image/png", new MemoryStream(bytes), Token);

        (blob.Name, blob.ContentType, blob.Size, blob.Sha256).ShouldBe(("image.png", "image/png", size, Convert.ToHexStringLower(SHA256.HashData(bytes))));
        await using var content = (await Artifacts.OpenAsync("01job", "image.png", Token))!;
        content.Length.ShouldBe(size);
        content.Seek(size / 2, SeekOrigin.Begin);
        var rest = new byte[size - size / 2];
        await content.ReadExactlyAsync(rest, Token);
        rest.ShouldBe(bytes[(size / 2)..]);
    }

    [Fact]
    public async Task Put_Again_Replaces()
    {
        await Artifacts.PutAsync("01job", "ab", "t/t", new MemoryStream([1, 2, 3]), Token);
        await Artifacts.PutAsync("01job", "ab", "t/t", new MemoryStream([4]), Token);

        await using var content = (await Artifacts.OpenAsync("01job", "ab", Token))!;
        content.ReadByte().ShouldBe(4);
        content.Length.ShouldBe(1);
    }

    [Fact]
    public async Task Put_SourceFails_LeavesNothing()
    {
        await Should.ThrowAsync<InvalidDataException>(async () => await Artifacts.PutAsync("01job", "ab", "t/t", new FailingStream(200_000), Token));

        (await Artifacts.OpenAsync("01job", "ab", Token)).ShouldBeNull();
        (await JobsAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task Delete_Job_TakesItsBlobsOnly()
    {
        await Artifacts.PutAsync("01job", "ab", "t/t", new MemoryStream([1]), Token);
        await Artifacts.PutAsync("01job", "cd", "t/t", new MemoryStream([1]), Token);
        await Artifacts.PutAsync("01other", "ab", "t/t", new MemoryStream([1]), Token);
        (await JobsAsync()).ShouldBe(["01job", "01other"]);

        await Artifacts.DeleteAsync(["01job", "01never"], Token);

        (await JobsAsync()).ShouldBe(["01other"]);
        (await Artifacts.OpenAsync("01job", "ab", Token)).ShouldBeNull();
    }

    [Theory]
    [InlineData("../../etc/passwd")]
    [InlineData("a/b")]
    [InlineData(".hidden")]
    [InlineData("..")]
    [InlineData("a\0b")]
    [InlineData("")]
    public async Task Put_UnsafeName_IsRefused(string name) =>
        await Should.ThrowAsync<ArgumentException>(async () => await Artifacts.PutAsync("01job", name, "t/t", new MemoryStream([1]), Token));

    private protected async Task<List<string>> JobsAsync()
    {
        var jobs = new List<string>();
        await foreach (var job in Artifacts.ListJobsAsync(Token))
        {
            jobs.Add(job);
        }

        jobs.Sort(StringComparer.Ordinal);
        return jobs;
    }

    /// <summary>Gives some bytes, then breaks, as a caller's connection.</summary>
    private protected sealed class FailingStream(int after) : MemoryStream(new byte[after])
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var read = Read(buffer.Span);
            return read > 0 ? ValueTask.FromResult(read) : throw new InvalidDataException("the caller went away");
        }
    }
}
