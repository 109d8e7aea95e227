using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Tasks;
using Myelin.Inference.Tasks.Generation;
using Myelin.Inference.Tasks.Generation.Pipeline;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Generation;

public sealed class TextToImageTaskTests
{
    private static readonly CancellationToken s_token = TestContext.Current.CancellationToken;

    /// <summary>What a caller types gives the picture that the reference made, whatever the case.</summary>
    [Theory]
    [MemberData(nameof(PipelineTests.Cases), MemberType = typeof(PipelineTests))]
    public async Task Run_RecordedParameters_GivesTheRecordedPictures(string name)
    {
        var recording = Golden.Json("pipelines.json").EnumerateArray().Single(r => r.GetProperty("case").GetString() == $"pipelines/{name}");
        string[] known = ["prompt", "negativePrompt", "steps", "guidance", "seed", "width", "height", "count", "strength"];
        var parameters = recording.EnumerateObject().Where(p => known.Contains(p.Name) && p.Value.ValueKind != JsonValueKind.Null).ToDictionary(p => p.Name, p => (object)p.Value);
        if (recording.TryGetProperty("schedulerClass", out _))
        {
            parameters["sampler"] = recording.GetProperty("scheduler");
        }

        await using var task = await Generations.LoadAsync(recording.GetProperty("model").GetString()!);
        var result = await task.RunAsync(
            Generations.Input(parameters, Part(recording, "image"), Part(recording, "mask")), new Events(), s_token);

        result.Artifacts.Count.ShouldBe(recording.TryGetProperty("count", out var count) ? count.GetInt32() : 1);
        for (var i = 0; i < result.Artifacts.Count; i++)
        {
            var expected = Generations.Pixels(File.ReadAllBytes(Shared.Require("goldens", "pipelines", name, $"{i}.png")));
            var actual = Generations.Pixels(result.Artifacts[i].Bytes);
            actual.Length.ShouldBe(expected.Length);
            actual.Zip(expected, (a, e) => Math.Abs(a - e)).Average().ShouldBeLessThan(1, $"picture {i}");
        }
    }

    [Fact]
    public async Task Run_NothingButAPrompt_FillsInAndReportsAllThatWasChosen()
    {
        await using var task = await Generations.LoadAsync("tiny-sd", """{"defaults": {"steps": 3, "guidance": 4}}""");
        var result = await task.RunAsync(Generations.Input(new { prompt = "кот 🐱" }), new Events(), s_token);

        var json = JsonDocument.Parse(result.Json).RootElement;
        var chosen = json.GetProperty("parameters");
        chosen.GetProperty("prompt").GetString().ShouldBe("кот 🐱");
        chosen.GetProperty("steps").GetInt32().ShouldBe(3);
        chosen.GetProperty("guidance").GetDouble().ShouldBe(4);
        chosen.GetProperty("sampler").GetString().ShouldBe("pndm");
        (chosen.GetProperty("width").GetInt32(), chosen.GetProperty("height").GetInt32(), chosen.GetProperty("count").GetInt32()).ShouldBe((64, 64, 1));
        var image = json.GetProperty("images").EnumerateArray().Single();
        image.GetProperty("artifact").GetString().ShouldBe(result.Artifacts.Single().Name);
        image.GetProperty("seed").GetUInt64().ShouldBe(chosen.GetProperty("seed").GetUInt64());
        json.GetProperty("timings").GetProperty("runtimeShare").GetDouble().ShouldBeInRange(0.01, 1);

        // What it reports, given back, makes the same picture.
        var again = await task.RunAsync(new TaskInput(new Dictionary<string, TaskFile>(), chosen), new Events(), s_token);
        again.Artifacts.Single().Bytes.ToArray().ShouldBe(result.Artifacts.Single().Bytes.ToArray());
    }

    [Theory]
    [InlineData("ddim", 5)]
    [InlineData("pndm", 5)]
    [InlineData("heun", 5)]
    [InlineData("lcm", 1)]
    public async Task Run_AnySampler_ReportsEveryStepAndEndsAtTheLast(string sampler, int steps)
    {
        await using var task = await Generations.LoadAsync("tiny-sd");
        var events = new Events();
        await task.RunAsync(Generations.Input(new { prompt = "x", sampler, steps, count = 2 }), events, s_token);

        var all = events.All.ToList();
        all[^1].Step.ShouldBe(2 * steps);
        all.ShouldAllBe(e => e.Steps == 2 * steps && e.SecondsPerStep > 0);
        all.Select(e => e.Step).ShouldBe(all.Select(e => e.Step).Order());
        all.Select(e => e.Step).Distinct().Count().ShouldBe(2 * steps);
    }

    [Fact]
    public async Task Run_LongJob_PreviewsAreSmallJpegsAtMostFourASecond()
    {
        await using var task = await Generations.LoadAsync("tiny-sd", """{"limits": {"maxSize": 256}}""");
        var started = System.Diagnostics.Stopwatch.StartNew();
        var events = new Events();
        await task.RunAsync(Generations.Input(new { prompt = "x", steps = 60, width = 192, height = 128, sampler = "ddim" }), events, s_token);

        var previews = events.All.Where(e => e.Preview is not null).Select(e => e.Preview!.Value).ToList();
        previews.Count.ShouldBeInRange(1, (int)(started.Elapsed.TotalSeconds * 4) + 1);
        foreach (var preview in previews)
        {
            preview.Length.ShouldBeLessThanOrEqualTo(20_000);
            using var picture = Picture.Decode(preview, new ImagingLimits());
            ((double)picture.Width / picture.Height).ShouldBe(1.5, 0.01);
        }
    }

    [Theory]
    [InlineData("red apple", "tEXt")]
    [InlineData("красное яблоко", "iTXt")]
    public async Task Run_Picture_CarriesItsParametersAsTextChunk(string prompt, string kind)
    {
        await using var task = await Generations.LoadAsync("tiny-sd");
        var result = await task.RunAsync(
            Generations.Input(new { prompt, negativePrompt = "blurry", steps = 2, sampler = "euler-a", seed = 7, guidance = 7.5 }), new Events(), s_token);

        var chunk = Chunk(result.Artifacts.Single().Bytes.Span, kind);
        chunk.ShouldStartWith("parameters\0");
        chunk.ShouldEndWith($"{prompt}\nNegative prompt: blurry\nSteps: 2, Sampler: Euler a, CFG scale: 7.5, Seed: 7, Size: 64x64, Model: tiny-sd, Version: Myelin");
        Generations.Pixels(result.Artifacts.Single().Bytes).Length.ShouldBe(64 * 64 * 3);
    }

    [Theory]
    [InlineData(1024, 1024, 64, 64)]
    [InlineData(1536, 1024, 80, 64)]
    [InlineData(2048, 8, 128, 64)]
    public async Task Run_OutputSize_MakesTheNetworksOwnAndEnlargesIt(int width, int height, int madeWidth, int madeHeight)
    {
        await using var task = await Generations.LoadAsync("tiny-sd");

        var result = await task.RunAsync(Generations.Input(new { prompt = "x", steps = 1, outputWidth = width, outputHeight = height }), new Events(), s_token);

        using var picture = Picture.Decode(result.Artifacts.Single().Bytes, new ImagingLimits());
        (picture.Width, picture.Height).ShouldBe((width, height));
        using var json = JsonDocument.Parse(result.Json);
        (json.RootElement.GetProperty("parameters").GetProperty("width").GetInt32(), json.RootElement.GetProperty("parameters").GetProperty("height").GetInt32()).ShouldBe((madeWidth, madeHeight));
        json.RootElement.GetProperty("images")[0].GetProperty("width").GetInt32().ShouldBe(width);
        json.RootElement.GetProperty("notice").GetString()!.ShouldContain($"{madeWidth}×{madeHeight}");
    }

    [Fact]
    public async Task Contract_NoLimitsGiven_AllowsTwiceTheTrainedSize()
    {
        var contract = TaskContracts.For(Generations.Definition(Golden.Folder("tiny-sd")));
        contract.Parameters.Single(p => p.Name == "width").Maximum.ShouldBe(128);

        await using var task = await Generations.LoadAsync("tiny-sd");
        (await Should.ThrowAsync<InputException>(() => task.RunAsync(Generations.Input(new { prompt = "x", height = 144 }), new Events(), s_token))).Field.ShouldBe("parameters.height");
        (await Should.ThrowAsync<InputException>(() => task.RunAsync(Generations.Input(new { prompt = "x", outputWidth = 100 }), new Events(), s_token))).Field.ShouldBe("parameters.outputHeight");
    }

    [Fact]
    public async Task MemoryOf_TwiceTheSide_GrowsWithItsFourthPower()
    {
        await using var task = await Generations.LoadAsync("tiny-sd", """{"limits": {"maxSize": 2048}}""");
        long Bytes(int side) => task.MemoryOf(Generations.Input(new { prompt = "x", width = side, height = side })).Bytes;

        ((double)Bytes(2048) / Bytes(1024)).ShouldBe(16, 2);
        task.MemoryOf(Generations.Input(new { prompt = "x", width = 63 })).Bytes.ShouldBe(0);
    }

    /// <summary>Measured with ONNX Runtime 1.31: one attention of eight heads takes its scores once (1,024 MiB of 1,054 at 512×512, 5,184 of 5,228 at 768×768).</summary>
    [Theory]
    [InlineData(8, 512, 1.03)]
    [InlineData(8, 768, 5.1)]
    [InlineData(5, 768, 3.2)]
    public void Memory_OfStableDiffusion_IsItsAttentionOnce(int heads, int side, double gibibytes)
    {
        var tiny = DiffusionFolder.Read(Golden.Folder("tiny-sd"));
        var folder = tiny with { Attention = (heads, 0), Latent = tiny.Latent with { Factor = 8 }, DecoderChannels = 128 };

        (GenerationMemory.Of(folder, side, side, guided: true) / (double)(1 << 30)).ShouldBe(gibibytes, gibibytes * 0.2);
    }

    [Fact]
    public async Task MemoryOf_TheModelsOwnSize_IsUsualAndLargerIsNot()
    {
        await using var task = await Generations.LoadAsync("tiny-sd", """{"defaults": {"width": 128, "height": 128}, "limits": {"maxSize": 2048}}""");

        task.MemoryOf(Generations.Input(new { prompt = "x" })).Usual.ShouldBeTrue();
        task.MemoryOf(Generations.Input(new { prompt = "x", width = 256, height = 64 })).Usual.ShouldBeTrue("as many pixels");
        task.MemoryOf(Generations.Input(new { prompt = "x", width = 256 })).Usual.ShouldBeFalse();
    }

    /// <summary>The estimate reads the header, the call takes it from there; damage behind it is told with its cause.</summary>
    [Fact]
    public async Task Run_PictureThatBreaksOff_IsToldTheCauseAfterOneLookAtTheHeader()
    {
        await using var task = await Generations.LoadAsync("tiny-sd");
        var whole = PictureEncoder.Encode(new byte[64 * 64 * 3], 64, 64, PictureFormat.Png);
        var file = new TaskFile("image/png", whole.AsMemory(0, whole.Length - 30));
        var input = new TaskInput(new Dictionary<string, TaskFile> { ["image"] = file }, JsonSerializer.SerializeToElement(new { prompt = "x", steps = 1 }));

        task.MemoryOf(input).Bytes.ShouldBeGreaterThan(0);
        file.Header.ShouldNotBeNull().Width.ShouldBe(64);
        var refusal = await Should.ThrowAsync<InputException>(() => task.RunAsync(input, new Events(), s_token));

        refusal.Message.ShouldContain("damaged or incomplete: ");
        refusal.Field.ShouldBe("input.image");
    }

    public static TheoryData<object, string?, string?, string> BadInputs() => new()
    {
        { new { prompt = "x", steps = 0 }, null, null, "parameters.steps" },
        { new { prompt = "x", steps = 10_000 }, null, null, "parameters.steps" },
        { new { prompt = "x", width = 63 }, null, null, "parameters.width" },
        { new { prompt = "x", width = 100 }, null, null, "parameters.width" },
        { new { prompt = "x", height = 4096 }, null, null, "parameters.height" },
        { new { prompt = "x", height = 0 }, null, null, "parameters.height" },
        { new { prompt = new string('a', 100_000) }, null, null, "parameters.prompt" },
        { new { prompt = "x", negativePrompt = new string('a', 100_000) }, null, null, "parameters.negativePrompt" },
        { new { prompt = "x", sampler = "magic" }, null, null, "parameters.sampler" },
        { new { prompt = "x", count = 0 }, null, null, "parameters.count" },
        { new { prompt = "x", count = 1000 }, null, null, "parameters.count" },
        { new { prompt = "x", guidance = -1 }, null, null, "parameters.guidance" },
        { new { prompt = "x", seed = -2 }, null, null, "parameters.seed" },
        { new { prompt = "x", seed = 1.5 }, null, null, "parameters.seed" },
        { new { prompt = 5 }, null, null, "parameters.prompt" },
        { new { }, null, null, "parameters.prompt" },
        { new { prompt = "x", promt = "y" }, null, null, "parameters.promt" },
        { new { prompt = "x", strength = 1.5 }, "init-64.png", null, "parameters.strength" },
        { new { prompt = "x", strength = 0 }, "init-64.png", null, "parameters.strength" },
        { new { prompt = "x", sampler = "lcm", steps = 60 }, null, null, "parameters.steps" },
        { new { prompt = "x" }, null, "mask-64.png", "input.mask" },
        { new { prompt = "x" }, "init-64.png", "pipelines/sd-wide-batch2/0.png", "input.mask" },
        { new { prompt = "x" }, "tokens.json", null, "input.image" },
        { new { prompt = "x" }, "init-64.png", "tokens.json", "input.mask" },
    };

    [Fact]
    public async Task Run_BadInput_NamesTheFieldAndHarmsNothing()
    {
        await using var task = await Generations.LoadAsync("tiny-sd");
        foreach (var row in BadInputs())
        {
            var (parameters, image, mask, field) = row.Data;
            var fault = await Should.ThrowAsync<InputException>(() => task.RunAsync(Generations.Input(parameters, image, mask), new Events(), s_token), field);
            fault.Field.ShouldBe(field);
            fault.Message.Length.ShouldBeInRange(10, 500);
        }

        var after = await task.RunAsync(Generations.Input(new { prompt = "x", steps = 1 }), new Events(), s_token);
        after.Artifacts.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Run_PictureOfAnotherSize_IsScaledToWhatWasAsked()
    {
        await using var task = await Generations.LoadAsync("tiny-sd");
        var result = await task.RunAsync(
            Generations.Input(new { prompt = "x", steps = 4, strength = 0.5, width = 96, height = 80 }, "init-64.png", "mask-64.png"), new Events(), s_token);
        var own = await task.RunAsync(Generations.Input(new { prompt = "x", steps = 4 }, "pipelines/sd-wide-batch2/0.png"), new Events(), s_token);

        Generations.Pixels(result.Artifacts.Single().Bytes).Length.ShouldBe(96 * 80 * 3);
        JsonDocument.Parse(own.Json).RootElement.GetProperty("parameters").GetProperty("width").GetInt32().ShouldBe(96);
        JsonDocument.Parse(own.Json).RootElement.GetProperty("parameters").GetProperty("strength").GetDouble().ShouldBe(0.8);
    }

    [Fact]
    public void Contract_FolderAndSettings_GiveDefaultsAndLimits()
    {
        var contract = TaskContracts.For(Generations.Definition(Golden.Folder("tiny-lcm"), """{"defaults": {"width": 128}, "limits": {"maxSize": 256}}"""));

        ModelParameter Spec(string name) => contract.Parameters.Single(p => p.Name == name);
        Spec("width").Default!.Value.GetInt32().ShouldBe(128);
        (Spec("width").Minimum, Spec("width").Maximum, Spec("width").MultipleOf).ShouldBe((64, 256, 16));
        Spec("sampler").Default!.Value.GetString().ShouldBe("lcm");
        Spec("steps").Default!.Value.GetInt32().ShouldBe(4);
        Spec("guidance").Default!.Value.GetDouble().ShouldBe(8.5);
        Spec("sampler").Choices!.Count.ShouldBe(13);
        contract.Files.Select(f => f.Name).ShouldBe(["image", "mask"]);
    }

    [Fact]
    public void Settle_OpenSeed_IsPickedOnce()
    {
        var settled = GenerationSeed.Settle(JsonSerializer.SerializeToElement(new { prompt = "x", seed = -1 }));
        settled.GetProperty("seed").GetInt64().ShouldBeGreaterThanOrEqualTo(0);
        settled.GetProperty("prompt").GetString().ShouldBe("x");
        GenerationSeed.Settle(settled).GetRawText().ShouldBe(settled.GetRawText());
        GenerationSeed.Settle(default).GetProperty("seed").GetInt64().ShouldBeGreaterThanOrEqualTo(0);
    }

    private static string? Part(JsonElement recording, string name) => recording.TryGetProperty(name, out var file) ? file.GetString() : null;

    private static string Chunk(ReadOnlySpan<byte> png, string kind)
    {
        for (var at = 8; at < png.Length;)
        {
            var length = BinaryPrimitives.ReadInt32BigEndian(png[at..]);
            if (Encoding.ASCII.GetString(png.Slice(at + 4, 4)) == kind)
            {
                var content = png.Slice(at + 8, length);
                return kind == "tEXt" ? Encoding.Latin1.GetString(content) : Encoding.UTF8.GetString(content);
            }

            at += length + 12;
        }

        throw new InvalidOperationException($"no {kind} chunk");
    }
}
