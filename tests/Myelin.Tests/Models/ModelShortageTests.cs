using Myelin.Serving.Models;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Models;

public sealed class ModelShortageTests
{
    /// <summary>One model whose sidecar finds no space: it says so, the looks at the folders go on, and it comes by itself.</summary>
    [Fact]
    public async Task Start_NoSpaceForASidecar_HoldsUpNobodyAndComesBack()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/python3"), "needs python3");
        using var disk = SmallDisk.Mount(1);
        using var folders = new ModelFolders();
        folders.AddSidecar("same");
        var filler = Path.Combine(disk.Path, "filler");
        Should.Throw<IOException>(() => File.WriteAllBytes(filler, new byte[2 << 20]));

        await using var server = await RunningServer.StartAsync(o => o with
        {
            Models = folders.Root,
            Sidecars = o.Sidecars with { RunFolder = Path.Combine(disk.Path, "run"), MaxRestartDelay = TimeSpan.FromMilliseconds(500) },
        });
        var models = server.Get<ModelRepository>();
        await Wait.UntilAsync(() => models.Find("same") is { State: ModelState.Available, Errors.Count: > 0 }, "it says why it is not ready");
        folders.AddIris();
        await Wait.UntilAsync(() => models.Find("iris") is { State: ModelState.Ready }, "another model is taken in meanwhile");
        models.Find("same")!.State.ShouldNotBe(ModelState.Ready);

        File.Delete(filler);
        await Wait.UntilAsync(() => models.Find("same") is { State: ModelState.Ready, Errors.Count: 0 }, "it is tried again");
    }
}
