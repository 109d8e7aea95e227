using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Hosting.Configuration;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Sidecars;
using Myelin.Inference.Tasks;
using Myelin.Serving.Models;
using Myelin.Serving.Models.Catalogue;
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

    /// <summary>Calls share the budget with the models: a cold load beside them makes others go.</summary>
    [Fact]
    public async Task Acquire_ColdBesideCallsUnderWay_CountsThem()
    {
        _folders.AddIris("a");
        _folders.AddIris("b");
        var models = Repository(new MyelinOptions { Models = _folders.Root, Runtime = new RuntimeOptions { MemoryBudget = 1 << 20 } });
        models.Rescan(settle: false);
        (await models.AcquireAsync("a", TestContext.Current.CancellationToken)).Dispose();
        models.Find("a")!.State.ShouldBe(ModelState.Ready);
        models.CallBytes = () => 1 << 20;

        (await models.AcquireAsync("b", TestContext.Current.CancellationToken)).Dispose();

        models.Find("a")!.State.ShouldBe(ModelState.Available);
    }

    [Fact]
    public async Task Rescan_NewVersionDoesNotLoad_TheOldOneGoesOnAndTheErrorShows()
    {
        var folder = _folders.AddIris();
        var models = Repository();
        models.Rescan(settle: false);
        (await RunAsync(models, "iris")).ShouldNotBeEmpty();

        Directory.CreateDirectory(Path.Combine(folder, "2"));
        await File.WriteAllTextAsync(Path.Combine(folder, "2", "model.onnx"), "not a network", TestContext.Current.CancellationToken);
        models.Rescan(settle: false).ShouldBeTrue();

        SpinWait.SpinUntil(() => models.Find("iris")!.Errors.Count > 0, TimeSpan.FromSeconds(20)).ShouldBeTrue();
        models.Find("iris")!.State.ShouldBe(ModelState.Ready);
        models.Find("iris")!.Errors[0].Message.ShouldContain("the version before it goes on");
        (await RunAsync(models, "iris")).ShouldNotBeEmpty();
        models.Rescan(settle: false).ShouldBeFalse("what did not load is not tried again until it changes");

        File.Delete(Path.Combine(folder, "2", "model.onnx"));
        File.Copy(Path.Combine(folder, "1", "model.onnx"), Path.Combine(folder, "2", "model.onnx"));
        models.Rescan(settle: false).ShouldBeTrue();
        SpinWait.SpinUntil(() => models.Find("iris")!.Definition!.Revision == "2", TimeSpan.FromSeconds(20)).ShouldBeTrue();
        models.Find("iris")!.Errors.ShouldBeEmpty();
    }

    [Fact]
    public async Task Rescan_SidecarReplacedFiftyTimesUnderLoad_NoCallFailsAndNoProcessIsLeft()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/python3"), "needs python3");
        var folder = Path.Combine(_folders.Root, "doubler");
        Directory.CreateDirectory(Path.Combine(folder, "1"));
        await File.WriteAllTextAsync(Path.Combine(folder, "serve.py"), """
            import os
            from myelin_sidecar import Tensor, model, serve

            @model(name="model", concurrency=4, inputs=[("x", "FP32", [-1])], outputs=[("y", "FP32", [-1]), ("version", "INT64", [1])])
            def double(call):
                x = call.tensor("x")
                return {"y": Tensor.of("FP32", x.shape, [2 * v for v in x.values()]), "version": Tensor.of("INT64", [1], [int(os.environ["NUMBER"])])}

            serve(double)
            """, TestContext.Current.CancellationToken);
        Write(0);
        await using var sidecars = new SidecarSupervisor(new SidecarOptions { RunFolder = Path.Combine(_folders.Root, ".run"), RingBytes = 1 << 20 }, TimeProvider.System, NullLoggerFactory.Instance);
        var options = new MyelinOptions { Models = _folders.Root };
        var models = new ModelRepository(options, new ModelLoader(options, sidecars), TimeProvider.System, NullLogger<ModelRepository>.Instance);
        models.Rescan(settle: false);
        (await VersionAsync(models)).ShouldBe(0);
        using var stop = new CancellationTokenSource();
        var calls = 0;
        var traffic = Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            for (var last = 0L; !stop.IsCancellationRequested; Interlocked.Increment(ref calls))
            {
                var version = await VersionAsync(models);
                version.ShouldBeGreaterThanOrEqualTo(last, "an old version never answers after a new one");
                last = version;
            }
        })).ToArray();

        for (var number = 1; number <= 50; number++)
        {
            Write(number);
            models.Rescan(settle: false).ShouldBeTrue();
            var end = Environment.TickCount64 + 60_000;
            while (await VersionAsync(models) != number)
            {
                (Environment.TickCount64 < end).ShouldBeTrue($"version {number} is not there after a minute");
            }
        }

        await stop.CancelAsync();
        await Task.WhenAll(traffic);
        calls.ShouldBeGreaterThan(100);
        var totals = sidecars.Totals().Single();
        (totals.Counters.Failed, totals.Counters.Retried, totals.Counters.Restarts).ShouldBe((0, 0, 0));
        SpinWait.SpinUntil(() => sidecars.List().Count == 1, TimeSpan.FromSeconds(30)).ShouldBeTrue("only the last version is left");
        await models.UnloadAllAsync(TimeSpan.FromSeconds(30));
        sidecars.List().ShouldBeEmpty("the end waits for them");

        void Write(int number) => File.WriteAllText(Path.Combine(folder, "model.yaml"), $$"""
            task: tensor
            runtime: sidecar
            sidecar:
              command: [/usr/bin/python3, serve.py]
              environment: {PYTHONPATH: '{{Path.Combine(Shared.Root, "sidecars", "python")}}', NUMBER: {{number}}}
            """);

        static async Task<long> VersionAsync(ModelRepository models)
        {
            using var json = JsonDocument.Parse(await RunAsync(models, "doubler", """{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1.5,2]}]}"""));
            var outputs = json.RootElement.GetProperty("outputs");
            outputs[0].GetProperty("data")[0].GetDouble().ShouldBe(3);
            return outputs[1].GetProperty("data")[0].GetInt64();
        }
    }

    [Fact]
    public async Task Rescan_OwnModelOverABuiltInOne_WinsAndIsReadOnce()
    {
        var models = Repository();
        models.Rescan(settle: false);
        models.IsBuiltIn("faces").ShouldBeTrue();
        (await models.AcquireAsync("faces", TestContext.Current.CancellationToken)).Dispose();

        _folders.AddIris("faces");
        models.Rescan(settle: false).ShouldBeTrue();
        SpinWait.SpinUntil(() => models.Find("faces")!.Definition!.Task == "tensor", TimeSpan.FromSeconds(60)).ShouldBeTrue("a serving built-in model is replaced once the own one is ready");
        models.IsBuiltIn("faces").ShouldBeFalse();
        models.Rescan(settle: false).ShouldBeFalse("the built-in folder under it is no change");
        models.Rescan(settle: true).ShouldBeFalse();

        Directory.Delete(Path.Combine(_folders.Root, "faces"), recursive: true);
        models.Rescan(settle: false).ShouldBeTrue();
        SpinWait.SpinUntil(() => models.IsBuiltIn("faces"), TimeSpan.FromSeconds(60)).ShouldBeTrue("without the own one the built-in one is back");
        models.Rescan(settle: false).ShouldBeFalse();
    }

    [Fact]
    public async Task Rescan_OverridingModelThatLoadsLong_FinishesLoading()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/python3"), "needs python3");
        await using var sidecars = new SidecarSupervisor(new SidecarOptions { RunFolder = Path.Combine(_folders.Root, ".run"), RingBytes = 1 << 20 }, TimeProvider.System, NullLoggerFactory.Instance);
        var options = new MyelinOptions { Models = _folders.Root };
        var models = new ModelRepository(options, new ModelLoader(options, sidecars), TimeProvider.System, NullLogger<ModelRepository>.Instance);
        models.Rescan(settle: false);
        (await models.AcquireAsync("faces", TestContext.Current.CancellationToken)).Dispose();
        var gate = Path.Combine(_folders.Root, "gate");
        _folders.AddSidecar(
            "faces",
            """
            import os, time

            open(os.environ["GATE"] + ".begun", "a").write("x")
            while not os.path.exists(os.environ["GATE"]):
                time.sleep(0.01)
            """,
            $"GATE: '{gate}'");

        models.Rescan(settle: false).ShouldBeTrue();
        SpinWait.SpinUntil(() => File.Exists(gate + ".begun"), TimeSpan.FromSeconds(60)).ShouldBeTrue();
        for (var scan = 0; scan < 20; scan++)
        {
            models.Rescan(settle: false).ShouldBeFalse("it is still loading, and nothing changed");
        }

        await File.WriteAllTextAsync(gate, "", TestContext.Current.CancellationToken);
        SpinWait.SpinUntil(() => !models.IsBuiltIn("faces"), TimeSpan.FromSeconds(60)).ShouldBeTrue();
        (await File.ReadAllTextAsync(gate + ".begun", TestContext.Current.CancellationToken)).ShouldBe("x", "it was loaded once");
        await models.UnloadAllAsync(TimeSpan.FromSeconds(30));
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

    [Fact]
    public void Rescan_FolderGoneForOneLook_ModelStays()
    {
        var folder = _folders.AddIris();
        var models = Repository();
        models.Rescan(settle: false);

        var away = Path.Combine(_folders.Root, ".away");
        Directory.Move(folder, away);
        models.Rescan(settle: true).ShouldBeFalse();
        models.Find("iris").ShouldNotBeNull();
        Directory.Move(away, folder);
        models.Rescan(settle: true).ShouldBeFalse();

        Directory.Delete(folder, recursive: true);
        models.Rescan(settle: true).ShouldBeFalse();
        models.Rescan(settle: true).ShouldBeTrue();
        models.Find("iris").ShouldBeNull();
    }

    /// <summary>Clocks that are ahead, archives, copies that keep dates: only what changes from look to look is unsettled.</summary>
    [Theory]
    [InlineData(365)]
    [InlineData(-365)]
    public void Rescan_FilesDatedInFutureOrPast_SettleOnceTwoLooksAreTheSame(int days)
    {
        var models = Repository();
        models.Rescan(settle: false);
        var weights = Path.Combine(_folders.AddIris(), "1", "model.onnx");
        var whole = File.ReadAllBytes(weights);
        foreach (var length in new[] { 100, 200, whole.Length })
        {
            File.WriteAllBytes(weights, whole[..length]); // somebody copies
            File.SetLastWriteTimeUtc(weights, DateTime.UtcNow.AddDays(days));
            models.Rescan(settle: true).ShouldBeFalse();
        }

        models.Rescan(settle: true).ShouldBeTrue();
        models.Find("iris").ShouldNotBeNull().State.ShouldBe(ModelState.Available);
        models.Rescan(settle: true).ShouldBeFalse();
    }

    [Fact]
    public async Task Put_FolderReplacedUnderScans_ServingModelIsNeverUnloaded()
    {
        var folder = _folders.AddIris();
        var spare = Path.Combine(_folders.Root, ".spare");
        Directory.Move(_folders.AddIris("spare"), spare);
        var models = Repository();
        models.Rescan(settle: false);
        using var stop = new CancellationTokenSource();
        var scans = 0;
        var scanning = Task.Run(() =>
        {
            for (; !stop.IsCancellationRequested; scans++)
            {
                models.Rescan(settle: false);
                models.Find("iris").ShouldNotBeNull($"after {scans} scans");
            }
        }, TestContext.Current.CancellationToken);

        for (var round = 0; round < 300 && !scanning.IsCompleted; round++)
        {
            var fresh = Path.Combine(_folders.Root, ".fresh" + round);
            Directory.CreateDirectory(Path.Combine(fresh, "1"));
            foreach (var file in Directory.EnumerateFiles(spare, "*", SearchOption.AllDirectories))
            {
                File.Copy(file, Path.Combine(fresh, Path.GetRelativePath(spare, file)));
            }

            FolderSwap.Put(fresh, folder);
            Directory.Exists(fresh).ShouldBeFalse();
            var before = Volatile.Read(ref scans);
            SpinWait.SpinUntil(() => scanning.IsCompleted || Volatile.Read(ref scans) > before, TimeSpan.FromSeconds(20)).ShouldBeTrue();
        }

        await stop.CancelAsync();
        await scanning;
        (await RunAsync(models, "iris")).ShouldNotBeEmpty();
    }

    [Fact]
    public async Task Reload_WhileALookAtAnotherFolderHangs_DoesNotWait()
    {
        _folders.AddIris();
        var models = Repository();
        models.Rescan(settle: false);
        var hung = Directory.CreateDirectory(Path.Combine(_folders.Root, "hung")).FullName;
        using (var make = System.Diagnostics.Process.Start("mkfifo", Path.Combine(hung, "model.yaml")))
        {
            await make.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        var look = Task.Run(() => models.Rescan(settle: false), TestContext.Current.CancellationToken); // stands in the opening of the pipe until somebody writes
        await Task.Run(() => models.Reload("iris"), TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        (await RunAsync(models, "iris")).ShouldNotBeEmpty();

        await File.WriteAllTextAsync(Path.Combine(hung, "model.yaml"), "task: tensor\n", TestContext.Current.CancellationToken);
        (await look).ShouldBeTrue();
        models.Find("hung")!.State.ShouldBe(ModelState.Broken);
        models.Find("iris")!.State.ShouldNotBe(ModelState.Broken);
    }

    private static Task<byte[]> RunAsync(ModelRepository models, string name) =>
        RunAsync(models, name, """{"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}""");

    private static async Task<byte[]> RunAsync(ModelRepository models, string name, string json)
    {
        using var lease = await models.AcquireAsync(name, CancellationToken.None);
        var input = System.Text.Encoding.UTF8.GetBytes(json);
        var files = new Dictionary<string, TaskFile> { ["inputs"] = new("application/json", input) };
        var result = await lease.Task.RunAsync(new TaskInput(files, default(JsonElement)), new Progress<TaskProgress>(), CancellationToken.None);
        return result.Json.ToArray();
    }

    private ModelRepository Repository(MyelinOptions? options = null)
    {
        options ??= new MyelinOptions { Models = _folders.Root };
        return new ModelRepository(options, new ModelLoader(options, new SidecarSupervisor(options.ToSidecarOptions(), TimeProvider.System, NullLoggerFactory.Instance)), TimeProvider.System, NullLogger<ModelRepository>.Instance);
    }
}
