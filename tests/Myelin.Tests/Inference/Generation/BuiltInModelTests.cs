using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Generation;

public sealed class BuiltInModelTests
{
    /// <summary>Any size, sampler and way in: the folder of our own model goes through the pipeline as any other.</summary>
    [Fact]
    public async Task EmojiDiffusion_PromptPictureAndMask_GivePictures()
    {
        var folder = Path.Combine(Shared.Root, "models", "emoji-diffusion");
        Assert.SkipUnless(Directory.Exists(folder), "needs models/emoji-diffusion, which is not here");
        await using var task = await TaskLoader.CreateAsync(ModelFolder.Load(folder)[^1], new OnnxOptions(), new ImagingLimits(), TestContext.Current.CancellationToken);
        foreach (var input in (TaskInput[])
        [
            Generations.Input(new { prompt = "red apple", seed = 7 }),
            Generations.Input(new { prompt = "red apple", seed = 7, sampler = "dpmpp-2m-karras", steps = 12 }),
            Generations.Input(new { prompt = "blue car", seed = 7, steps = 10 }, "init-64.png", "mask-64.png"),
        ])
        {
            var result = await task.RunAsync(input, new Events(), TestContext.Current.CancellationToken);
            var pixels = Generations.Pixels(result.Artifacts.Single().Bytes);
            pixels.Length.ShouldBe(64 * 64 * 3);
            (pixels.Max() - pixels.Min()).ShouldBeGreaterThan(100);
            if (Environment.GetEnvironmentVariable("MYELIN_TEST_OUTPUT") is { } output)
            {
                File.WriteAllBytes(Path.Combine(output, $"emoji-{input.Parameters.GetRawText().Length}.png"), result.Artifacts.Single().Bytes.ToArray());
            }
        }
    }
}
