using Myelin.Hosting.Artifacts;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Artifacts;

public sealed class FolderArtifactsTests : ArtifactsConformance, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public FolderArtifactsTests() => Artifacts = new FolderArtifacts(_folder.Path);

    private protected override IArtifacts Artifacts { get; }

    [Fact]
    public async Task Put_FullDisk_SaysSoAndLeavesNothing()
    {
        using var disk = SmallDisk.Mount(megabytes: 1);
        var artifacts = new FolderArtifacts(disk.Path);

        await Should.ThrowAsync<ArtifactsFullException>(async () => await artifacts.PutAsync("01job", "ab", "t/t", new MemoryStream(new byte[3_000_000]), Token));

        Directory.EnumerateFiles(disk.Path, "*", SearchOption.AllDirectories).ShouldBeEmpty();
        (await artifacts.PutAsync("01job", "ab", "t/t", new MemoryStream(new byte[300_000]), Token)).Size.ShouldBe(300_000);
    }

    [Fact]
    public async Task Delete_OneThatCannotBe_TakesTheOthersAndSaysWhich()
    {
        string[] jobs = ["01jobaa", "01jobbb", "01jobcc"];
        foreach (var job in jobs)
        {
            await Artifacts.PutAsync(job, "ab", "t/t", new MemoryStream([1]), Token);
        }

        using (Undeletable.Make(_folder.Combine("aa", "01jobaa", "ab")))
        {
            var kept = await Should.ThrowAsync<ArtifactsUndeletableException>(Artifacts.DeleteAsync(jobs, Token).AsTask());
            kept.Count.ShouldBe(1);
            kept.Message.ShouldContain("01jobaa");
        }

        (await Artifacts.ListJobsAsync(Token).ToListAsync(Token)).ShouldBe(["01jobaa"]);
    }

    /// <summary>Below it a path is longer than the 4,096 bytes of the system: no matter of rights, nor of a mount.</summary>
    [Fact]
    public async Task Delete_OneWhosePathsAreTooLong_TakesTheOthersAndSaysWhich()
    {
        string[] jobs = ["01jobaa", "01jobbb", "01jobcc"];
        foreach (var job in jobs)
        {
            await Artifacts.PutAsync(job, "ab", "t/t", new MemoryStream([1]), Token);
        }

        var deep = Path.Combine([.. Enumerable.Repeat(new string('d', 200), 12)]);
        var (aside, inside) = (_folder.Combine("aside"), _folder.Combine("aa", "01jobaa", deep));
        Directory.CreateDirectory(Path.Combine(aside, deep));
        Directory.CreateDirectory(inside);
        Directory.Move(aside, Path.Combine(inside, "aside"));
        try
        {
            var kept = await Should.ThrowAsync<ArtifactsUndeletableException>(Artifacts.DeleteAsync(jobs, Token).AsTask());
            kept.Message.ShouldContain("01jobaa");
            (await Artifacts.ListJobsAsync(Token).ToListAsync(Token)).ShouldBe(["01jobaa"]);
        }
        finally
        {
            Directory.Move(Path.Combine(inside, "aside"), aside);
        }
    }

    public void Dispose() => _folder.Dispose();
}
