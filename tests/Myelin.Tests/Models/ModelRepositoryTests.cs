using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks;
using Myelin.Server.Configuration;
using Myelin.Server.Models;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Models;

public sealed class ModelRepositoryTests : IDisposable
{
    private readonly ModelFolders _folders = new();

    public void Dispose() => _folders.Dispose();

    [Fact]
    public void Rescan_BuiltInFolders_AreThere()
    {
        var models = Repository();

        models.Rescan(settle: false);

        models.Find("faces")!.State.ShouldBe(ModelState.Available);
        models.Find("text-reader")!.State.ShouldBe(ModelState.Available);
        models.IsBuiltIn("faces").ShouldBeTrue();
    }

    [Fact]
    public async Task Acquire_GoodModelBesideBrokenOnes_Works()
    {
        _folders.AddIris();
        var garbage = _folders.AddIris("garbage");
        await File.WriteAllTextAsync(Path.Combine(garbage, "1", "model.onnx"), "not a network", TestContext.Current.CancellationToken);
        var mistyped = _folders.AddIris("mistyped");
        await File.WriteAllTextAsync(Path.Combine(mistyped, "model.yaml"), "task: tensr\nlabells: x\n", TestContext.Current.CancellationToken);
        var models = Repository();
        models.Rescan(settle: false);

        await models.WarmAsync(TestContext.Current.CancellationToken);

        models.Find("iris")!.State.ShouldBe(ModelState.Ready);
        models.Find("garbage")!.State.ShouldBe(ModelState.Broken);
        models.Find("garbage")!.Errors.ShouldNotBeEmpty();
        models.Find("mistyped")!.State.ShouldBe(ModelState.Broken);
        models.Find("mistyped")!.Errors.ShouldContain(e => e.Key == "task" && e.Message.Contains("tensor"));
        (await RunAsync(models, "iris")).ShouldNotBeEmpty();
        await Should.ThrowAsync<ModelException>(async () => await models.AcquireAsync("garbage", TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Rescan_FolderReplacedUnderTraffic_NoCallFailsAndOldTaskIsReleased()
    {
        var folder = _folders.AddIris();
        var models = Repository();
        models.Rescan(settle: false);
        using var stop = new CancellationTokenSource();
        var calls = 0;
        var traffic = Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                await RunAsync(models, "iris");
                Interlocked.Increment(ref calls);
            }
        })).ToArray();

        for (var replacement = 0; replacement < 20; replacement++)
        {
            var before = calls;
            File.SetLastWriteTimeUtc(Path.Combine(folder, "model.yaml"), new DateTime(2026, 1, 1, 0, 0, replacement, DateTimeKind.Utc));
            models.Rescan(settle: false).ShouldBeTrue();
            SpinWait.SpinUntil(() => calls > before + 4, TimeSpan.FromSeconds(20)).ShouldBeTrue();
        }

        await stop.CancelAsync();
        await Task.WhenAll(traffic);
    }

    [Fact]
    public async Task Acquire_BeyondTheMemoryBudget_UnloadsTheLongestUnused()
    {
        _folders.AddIris("a");
        _folders.AddIris("b");
        _folders.AddIris("c");
        var models = Repository(new MyelinOptions { Models = _folders.Root, Runtime = new RuntimeOptions { MemoryBudget = 10_000 } });
        models.Rescan(settle: false);

        foreach (var name in new[] { "a", "b", "c" })
        {
            (await models.AcquireAsync(name, TestContext.Current.CancellationToken)).Dispose();
        }

        models.Find("a")!.State.ShouldBe(ModelState.Available);
        models.Find("c")!.State.ShouldBe(ModelState.Ready);
        (await RunAsync(models, "a")).ShouldNotBeEmpty();
    }

    [Fact]
    public void Rescan_FolderGone_ModelIsGone()
    {
        var folder = _folders.AddIris();
        var models = Repository();
        models.Rescan(settle: false);

        Directory.Delete(folder, recursive: true);

        models.Rescan(settle: false).ShouldBeTrue();
        models.Find("iris").ShouldBeNull();
        models.Rescan(settle: false).ShouldBeFalse();
    }

    private static async Task<byte[]> RunAsync(ModelRepository models, string name)
    {
        using var lease = await models.AcquireAsync(name, CancellationToken.None);
        var input = """{"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}"""u8.ToArray();
        var files = new Dictionary<string, TaskFile> { ["inputs"] = new("application/json", input) };
        var result = await lease.Task.RunAsync(new TaskInput(files, default(JsonElement)), new Progress<TaskProgress>(), CancellationToken.None);
        return result.Json.ToArray();
    }

    private ModelRepository Repository(MyelinOptions? options = null)
    {
        options ??= new MyelinOptions { Models = _folders.Root };
        return new ModelRepository(options, new ModelLoader(options), TimeProvider.System, NullLogger<ModelRepository>.Instance);
    }
}
