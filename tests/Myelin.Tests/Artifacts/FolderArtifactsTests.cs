using Myelin.Server.Artifacts;
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

    public void Dispose() => _folder.Dispose();
}
