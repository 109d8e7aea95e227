using System.Text.Json;
using Myelin.Inference.Imaging;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks.Generation.Pipeline;
using Myelin.Inference.Tasks.Generation.Sampling;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Generation;

public sealed class PipelineTests
{
    public static TheoryData<string> Cases() =>
    [
        "sd-ddim", "sd-pndm", "sd-euler", "sd-euler-karras", "sd-euler-a", "sd-dpmpp-2m", "sd-dpmpp-2m-karras", "sd-unipc", "sd-heun", "sd-lcm",
        "sd-other-prompt", "sd-no-guidance", "sd-wide-batch2", "sd-long-prompt", "img2img-ddim", "img2img-euler", "img2img-dpmpp-2m-karras",
        "img2img-pndm", "inpaint-ddim", "inpaint-euler", "sdxl-euler", "sdxl-no-negative", "lcm",
    ];

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Pipeline_RecordedRun_GivesTheReferencesLatentsAndPixels(string name)
    {
        var recording = Golden.Json("pipelines.json").EnumerateArray().Single(r => r.GetProperty("case").GetString() == $"pipelines/{name}");
        await using var pipeline = await LoadAsync(Golden.Folder(recording.GetProperty("model").GetString()!));
        var request = Request(recording, pipeline);
        var meter = new RuntimeMeter();
        var text = await pipeline.ConditionAsync(request, meter, TestContext.Current.CancellationToken);
        var (latents, pixels) = (Golden.Floats(recording.GetProperty("latents")), Golden.Floats(recording.GetProperty("pixels")));
        var size = (int)Golden.Shape(recording.GetProperty("latents"))[2..].Aggregate((a, b) => a * b);
        for (var index = 0; index < request.Count; index++)
        {
            var steps = 0;
            var planar = await pipeline.RunAsync(request, text, index, meter, step =>
            {
                var expected = latents.AsSpan((((step.Done - 1) * request.Count) + index) * size, size);
                Golden.LargestDifference(step.Latent.Span, expected)
                    .ShouldBeLessThan(1e-3 * Math.Max(1, Golden.Magnitude(expected)), $"picture {index}, evaluation {step.Done}");
                steps++;
            }, TestContext.Current.CancellationToken);

            steps.ShouldBe((int)Golden.Shape(recording.GetProperty("latents"))[0]);
            Mean(planar, pixels.AsSpan(index * planar.Length, planar.Length)).ShouldBeLessThan(1 / 255.0);
        }
    }

    /// <summary>Recordings name samplers with configurations of their own; by name alone the same runs come out.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Pipeline_SamplerByNameOnTheFolder_ResolvesToTheRecordedConfiguration(string name)
    {
        var recording = Golden.Json("pipelines.json").EnumerateArray().Single(r => r.GetProperty("case").GetString() == $"pipelines/{name}");
        await using var pipeline = await LoadAsync(Golden.Folder(recording.GetProperty("model").GetString()!));
        var config = SamplerNames.Resolve(Request(recording, pipeline).Sampler, pipeline.Folder.Scheduler);
        if (recording.TryGetProperty("schedulerClass", out var recorded))
        {
            config.Class.ShouldBe(recorded.GetString());
        }
    }

    private static GenerationRequest Request(JsonElement recording, DiffusionPipeline pipeline)
    {
        int Number(string key, int otherwise) => recording.TryGetProperty(key, out var value) ? value.GetInt32() : otherwise;
        float[]? Pixels(string key, Func<ReadOnlySpan<byte>, float[]> convert)
        {
            if (!recording.TryGetProperty(key, out var file))
            {
                return null;
            }

            using var picture = Picture.Decode(File.ReadAllBytes(Shared.Require("goldens", file.GetString()!)), new ImagingLimits());
            return convert(picture.Pixels.Span);
        }

        var sampler = recording.TryGetProperty("scheduler", out var given) ? given.GetString()! : "from the folder";
        return new GenerationRequest
        {
            Prompt = recording.GetProperty("prompt").GetString()!,
            NegativePrompt = recording.TryGetProperty("negativePrompt", out var negative) ? negative.GetString() : null,
            Steps = Number("steps", 0),
            Guidance = recording.GetProperty("guidance").GetDouble(),
            Sampler = sampler == "from the folder" ? SamplerNames.NameOf(pipeline.Folder.Scheduler) : sampler,
            Seed = recording.GetProperty("seed").GetUInt64(),
            Width = Number("width", 64),
            Height = Number("height", 64),
            Count = Number("count", 1),
            Strength = recording.TryGetProperty("strength", out var strength) ? strength.GetDouble() : 1,
            Image = Pixels("image", RgbPlanes.FromBytes),
            Mask = Pixels("mask", RgbPlanes.Mask),
        };
    }

    private static double Mean(float[] planar, ReadOnlySpan<float> interleaved)
    {
        var (plane, sum) = (planar.Length / 3, 0.0);
        for (var i = 0; i < planar.Length; i++)
        {
            sum += Math.Abs(Math.Clamp((planar[i] / 2) + 0.5, 0, 1) - interleaved[(i % plane * 3) + (i / plane)]);
        }

        return sum / planar.Length;
    }

    internal static Task<DiffusionPipeline> LoadAsync(string folder, ComponentOptions? options = null, TimeProvider? time = null) => DiffusionPipeline.LoadAsync(
        folder, options ?? new ComponentOptions(), new OnnxRuntimeSource(folder, new OnnxOptions()), time ?? TimeProvider.System, TestContext.Current.CancellationToken);
}
