using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Myelin.Inference.Imaging;
using Myelin.Jobs;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Images;

public sealed class A1111Tests(TinyDiffusion tiny) : IClassFixture<TinyDiffusion>
{
    [Fact]
    public async Task TextToImage_UnknownFields_GivesPicturesAndInfo()
    {
        var answer = await PostAsync("/sdapi/v1/txt2img", new
        {
            prompt = "a red apple",
            negative_prompt = "blurry",
            steps = 2,
            cfg_scale = 5,
            width = 64,
            height = 64,
            seed = 7,
            batch_size = 2,
            sampler_name = "Euler a",
            styles = Array.Empty<string>(),
            hr_scale = 2,
            alwayson_scripts = new { },
        });

        answer["images"]!.AsArray().Count.ShouldBe(2);
        Convert.FromBase64String(answer["images"]![0]!.GetValue<string>())[1..4].ShouldBe("PNG"u8.ToArray());
        var info = JsonNode.Parse(answer["info"]!.GetValue<string>())!;
        info["seed"]!.GetValue<long>().ShouldBe(7);
        info["all_seeds"]!.AsArray().Count.ShouldBe(2);
        info["sampler_name"]!.GetValue<string>().ShouldBe("Euler a");
        info["steps"]!.GetValue<int>().ShouldBe(2);
    }

    /// <summary>The size that these clients send unless told otherwise is far beyond this network.</summary>
    [Fact]
    public async Task TextToImage_LargerThanTheNetwork_IsMadeSmallerAndEnlarged()
    {
        var answer = await PostAsync("/sdapi/v1/txt2img", new { prompt = "apple", steps = 1, width = 512, height = 512 });

        using var picture = Picture.Decode(Convert.FromBase64String(answer["images"]![0]!.GetValue<string>()), new ImagingLimits());
        (picture.Width, picture.Height).ShouldBe((512, 512));
        var info = JsonNode.Parse(answer["info"]!.GetValue<string>())!;
        info["width"]!.GetValue<int>().ShouldBe(512);
        info["notice"]!.GetValue<string>().ShouldContain("64×64");
    }

    [Fact]
    public async Task ImageToImage_PictureAndMask_GivesPicture()
    {
        var init = Convert.ToBase64String(await File.ReadAllBytesAsync(Shared.Require("goldens", "init-64.png"), TestContext.Current.CancellationToken));
        var mask = Convert.ToBase64String(await File.ReadAllBytesAsync(Shared.Require("goldens", "mask-64.png"), TestContext.Current.CancellationToken));

        var answer = await PostAsync("/sdapi/v1/img2img", new { prompt = "apple", steps = 4, width = 64, height = 64, denoising_strength = 0.5, init_images = new[] { "data:image/png;base64," + init }, mask });

        answer["images"]!.AsArray().Count.ShouldBe(1);
    }

    [Fact]
    public async Task TextToImage_SameTaskIdTwice_IsOneJob()
    {
        var request = new { prompt = "one", steps = 1, width = 64, height = 64, force_task_id = Guid.NewGuid().ToString() };
        var server = tiny.Require();

        using var first = await server.Http.PostAsJsonAsync("/sdapi/v1/txt2img", request, TestContext.Current.CancellationToken);
        using var second = await server.Http.PostAsJsonAsync("/sdapi/v1/txt2img", request, TestContext.Current.CancellationToken);

        first.StatusCode.ShouldBe(HttpStatusCode.OK);
        second.Headers.GetValues("X-Myelin-Job").ShouldBe(first.Headers.GetValues("X-Myelin-Job"));
    }

    [Fact]
    public async Task TextToImage_LineBreaksAndTheTaskIsSentAgain_GivesItsPictures()
    {
        var request = new { prompt = "long", steps = 40, width = 128, height = 128, force_task_id = Guid.NewGuid().ToString() };
        var server = tiny.Require();
        using var cut = new CancellationTokenSource();
        var lost = server.Http.PostAsJsonAsync("/sdapi/v1/txt2img", request, cut.Token);
        string id;
        do
        {
            var progress = JsonNode.Parse(await server.Http.GetStringAsync(new Uri("/sdapi/v1/progress", UriKind.Relative), TestContext.Current.CancellationToken))!;
            id = progress["state"]!["job"]!.GetValue<string>();
        }
        while (id.Length == 0 && !lost.IsCompleted);

        await cut.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(lost);
        await Wait.UntilAsync(() => !server.Get<JobEvents>().IsWatched(id));

        (await PostAsync("/sdapi/v1/txt2img", request))["images"]!.AsArray().Count.ShouldBe(1);
    }

    [Theory]
    [InlineData("a\\u0000b")]
    [InlineData("ä")]
    public async Task TextToImage_TaskIdThatIsNoKey_Is400AndNamesIt(string id)
    {
        using var content = new StringContent($$"""{"prompt":"x","steps":1,"force_task_id":"{{id}}"}""", System.Text.Encoding.UTF8, "application/json");
        using var response = await tiny.Require().Http.PostAsync(new Uri("/sdapi/v1/txt2img", UriKind.Relative), content, TestContext.Current.CancellationToken);

        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        (await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).ShouldContain("force_task_id");
    }

    [Fact]
    public async Task Interrupt_WhileItRuns_EndsTheCallWithoutPictures()
    {
        var server = tiny.Require();
        var call = server.Http.PostAsJsonAsync("/sdapi/v1/txt2img", new { prompt = "long", steps = 150, width = 128, height = 128, batch_size = 8 }, TestContext.Current.CancellationToken);
        JsonNode progress;
        do
        {
            progress = JsonNode.Parse(await server.Http.GetStringAsync(new Uri("/sdapi/v1/progress", UriKind.Relative), TestContext.Current.CancellationToken))!;
        }
        while (progress["state"]!["sampling_step"]!.GetValue<int>() == 0 && !call.IsCompleted);

        call.IsCompleted.ShouldBeFalse("it must still run to be interrupted");
        progress["progress"]!.GetValue<double>().ShouldBeInRange(0.000001, 0.999999);
        (await PostAsync("/sdapi/v1/interrupt", new { })).AsObject().Count.ShouldBe(0);
        using var response = await call;
        var answer = JsonNode.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!;
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        answer["images"]!.AsArray().Count.ShouldBe(0);
    }

    [Theory]
    [InlineData("""{"prompt":"x","sampler_name":"No such"}""", 400)]
    [InlineData("""{"prompt":"x\u0000","steps":1}""", 400)]
    [InlineData("""{"prompt":"x","steps":0}""", 400)]
    [InlineData("""{"prompt":"x","width":63}""", 400)]
    [InlineData("""{"prompt":"x","override_settings":{"sd_model_checkpoint":"none"}}""", 404)]
    [InlineData("not json", 400)]
    public async Task TextToImage_BadInput_IsAClearError(string body, int status)
    {
        using var content = new StringContent(body, System.Text.Encoding.UTF8, "application/json");
        using var response = await tiny.Require().Http.PostAsync(new Uri("/sdapi/v1/txt2img", UriKind.Relative), content, TestContext.Current.CancellationToken);

        ((int)response.StatusCode).ShouldBe(status);
        JsonNode.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!["errors"]!.GetValue<string>().ShouldNotBeEmpty();
    }

    [Fact]
    public async Task Lists_SamplersModelsOptions_HaveTheExpectedShape()
    {
        var http = tiny.Require().Http;

        var samplers = JsonNode.Parse(await http.GetStringAsync(new Uri("/sdapi/v1/samplers", UriKind.Relative), TestContext.Current.CancellationToken))!.AsArray();
        var models = JsonNode.Parse(await http.GetStringAsync(new Uri("/sdapi/v1/sd-models", UriKind.Relative), TestContext.Current.CancellationToken))!.AsArray();
        await PostAsync("/sdapi/v1/options", new { sd_model_checkpoint = TinyDiffusion.Model });
        var options = JsonNode.Parse(await http.GetStringAsync(new Uri("/sdapi/v1/options", UriKind.Relative), TestContext.Current.CancellationToken))!;

        samplers.ShouldContain(s => s!["name"]!.GetValue<string>() == "DPM++ 2M Karras");
        models.ShouldContain(m => m!["model_name"]!.GetValue<string>() == TinyDiffusion.Model);
        options["sd_model_checkpoint"]!.GetValue<string>().ShouldBe(TinyDiffusion.Model);
    }

    private async Task<JsonNode> PostAsync(string path, object body)
    {
        using var response = await tiny.Require().Http.PostAsJsonAsync(path, body, TestContext.Current.CancellationToken);
        var text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        response.StatusCode.ShouldBe(HttpStatusCode.OK, text);
        return JsonNode.Parse(text)!;
    }
}
