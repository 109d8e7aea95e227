using Myelin.Inference.Tasks.Generation.Pipeline;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Generation;

/// <summary>Generations side by side and cancelled, and the networks they share.</summary>
public sealed class GenerationLoadTests
{
    private static readonly CancellationToken s_token = TestContext.Current.CancellationToken;

    [Fact]
    public async Task Run_TenAtOnceOneCancelledInMidStep_EndsAtOnceAndTheOthersAreAsAlone()
    {
        await using var task = await Generations.LoadAsync("tiny-sd", """{"limits": {"maxSize": 512}}""");
        var inputs = Enumerable.Range(0, 10)
            .Select(seed => Generations.Input(new { prompt = $"picture {seed}", seed, steps = 4, width = 64 + (16 * (seed % 3)), height = 64, sampler = seed % 2 == 0 ? "euler-a" : "pndm" })).ToList();
        var alone = new List<byte[]>();
        foreach (var input in inputs)
        {
            alone.Add((await task.RunAsync(input, new Events(), s_token)).Artifacts.Single().Bytes.ToArray());
        }

        // The eleventh is so large that a step takes long; it is stopped inside one.
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(s_token);
        var first = new TaskCompletionSource();
        var steps = new Events(_ => first.TrySetResult());
        var large = task.RunAsync(
            Generations.Input(new { prompt = "large", steps = 50, width = 512, height = 512, seed = 1 }), steps, stop.Token);
        var others = inputs.Select(input => task.RunAsync(input, new Events(), s_token)).ToList();
        await first.Task.WaitAsync(TimeSpan.FromMinutes(2), s_token);
        await Task.Delay(50, s_token); // Into the next step.
        var before = steps.All.Count;
        await stop.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => large);
        steps.All.Count.ShouldBeLessThanOrEqualTo(before + 1, "it ends inside the step or right after it");

        for (var i = 0; i < others.Count; i++)
        {
            (await others[i]).Artifacts.Single().Bytes.ToArray().ShouldBe(alone[i], $"job {i}");
        }
    }

    [Fact]
    public async Task Run_PictureOfABatch_IsTheSameWhateverElseRuns()
    {
        await using var task = await Generations.LoadAsync("tiny-sd");
        var batch = Generations.Input(new { prompt = "x", seed = 3, steps = 3, count = 3, sampler = "ddim" });
        var both = await Task.WhenAll(task.RunAsync(batch, new Events(), s_token), task.RunAsync(batch, new Events(), s_token));
        var single = await task.RunAsync(Generations.Input(new { prompt = "x", seed = 3, steps = 3, sampler = "ddim" }), new Events(), s_token);

        for (var i = 0; i < 3; i++)
        {
            both[0].Artifacts[i].Bytes.ToArray().ShouldBe(both[1].Artifacts[i].Bytes.ToArray());
        }

        Generations.Pixels(both[0].Artifacts[0].Bytes).ShouldBe(Generations.Pixels(single.Artifacts[0].Bytes));
        Generations.Pixels(both[0].Artifacts[1].Bytes).ShouldNotBe(Generations.Pixels(single.Artifacts[0].Bytes));
    }

    [Fact]
    public async Task Components_SmallBudget_KeepsOnlyWhatFitsAndStillGivesThePicture()
    {
        var request = new GenerationRequest { Prompt = "x", Steps = 2, Guidance = 7.5, Sampler = "ddim", Seed = 1, Width = 64, Height = 64 };
        await using var roomy = await PipelineTests.LoadAsync(Golden.Folder("tiny-sd"));
        await using var tight = await PipelineTests.LoadAsync(Golden.Folder("tiny-sd"), new ComponentOptions { MemoryBudget = 1 });
        roomy.Loaded.Count.ShouldBe(4);
        tight.Loaded.Count.ShouldBe(1);

        (await RunAsync(tight)).ShouldBe(await RunAsync(roomy));
        tight.Loaded.ShouldBe(["vae_decoder"]);

        async Task<float[]> RunAsync(DiffusionPipeline pipeline)
        {
            var meter = new RuntimeMeter();
            return await pipeline.RunAsync(request, await pipeline.ConditionAsync(request, meter, s_token), 0, meter, _ => { }, s_token);
        }
    }

    [Fact]
    public async Task Components_Idle_AreReleasedAndComeBack()
    {
        await using var pipeline = await PipelineTests.LoadAsync(Golden.Folder("tiny-sd"), new ComponentOptions { IdleRelease = TimeSpan.FromMilliseconds(50) });
        await Wait.UntilAsync(() => pipeline.Loaded.Count == 0);

        var request = new GenerationRequest { Prompt = "x", Steps = 1, Guidance = 1, Sampler = "ddim", Seed = 1, Width = 64, Height = 64 };
        var meter = new RuntimeMeter();
        var pixels = await pipeline.RunAsync(request, await pipeline.ConditionAsync(request, meter, s_token), 0, meter, _ => { }, s_token);
        pixels.Length.ShouldBe(3 * 64 * 64);
    }
}
