using Myelin.Testing;
using Shouldly;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace Myelin.EndToEnd.Page;

/// <summary>The Generate section on a real pipeline with random weights: what the picture shows is not the point.</summary>
public sealed class GenerateTests(BrowserFixture browser) : IClassFixture<BrowserFixture>
{
    [Fact]
    public async Task Prompt_WhileItRuns_ShowsPreviewsThenThePictureInTheGallery()
    {
        await using var server = await StartAsync();
        await using var tab = await browser.OpenAsync(hash: "#generate", server: server.Address);
        await SubmitAsync(tab, steps: 100);

        // Only what was changed is sent: no default is rounded by its slider.
        (await tab.Page.Locator("#generate-curl").TextContentAsync())!.ShouldEndWith(
            """-F 'parameters={"prompt":"red apple","steps":100,"seed":7,"width":128,"height":128}'""");
        var preview = tab.Page.Locator("#generate-stage .live img");
        (await preview.EvaluateAsync<int>("i => i.decode().then(() => i.naturalWidth)")).ShouldBeGreaterThan(0);
        await Expect(tab.Page.Locator("#generate-stage .detail")).ToContainTextAsync("of 100");
        await tab.ScreenshotAsync("generating");

        await tab.Chip("#generate-stage", "succeeded").WaitForAsync(new() { Timeout = 90_000 });
        await Expect(tab.Page.Locator("#gallery li")).ToHaveCountAsync(1);
        await Expect(tab.Page.Locator("#gallery li")).ToContainTextAsync("seed 7");
        (await tab.Page.Locator("#generate-stage img").EvaluateAsync<int>("i => i.decode().then(() => i.naturalWidth)")).ShouldBe(128);
        await tab.ScreenshotAsync("generated");
        tab.Faults.ShouldBeEmpty();
    }

    [Fact]
    public async Task Cancel_InTheMiddle_EndsAsCancelled()
    {
        await using var server = await StartAsync();
        await using var tab = await browser.OpenAsync(hash: "#generate", server: server.Address);
        await SubmitAsync(tab, steps: 150);
        await tab.Page.Locator("#generate-stage .live img").WaitForAsync();
        await tab.Page.Locator("#generate-stage .cancel").ClickAsync();
        await tab.Chip("#generate-stage", "cancelled").WaitForAsync();
        await Expect(tab.Page.Locator("#gallery li")).ToHaveCountAsync(0);
    }

    [Fact]
    public async Task BuiltInModel_RedApple_IsInTheGalleryAfterwards()
    {
        await using var tab = await browser.OpenAsync(hash: "#generate");
        await Expect(tab.Page.Locator("#generate-model")).ToHaveValueAsync("emoji-diffusion"); // the only one: nothing to choose
        await tab.Page.FillAsync("#prompt", "red apple");
        await tab.Page.Locator("#prompt").PressAsync("Control+Enter");
        await tab.Chip("#generate-stage", "succeeded").WaitForAsync(new() { Timeout = 60_000 });
        await Expect(tab.Page.Locator("#gallery li").First).ToContainTextAsync("red apple");
        await tab.ScreenshotAsync("apple");
        tab.Faults.ShouldBeEmpty();
    }

    private static async Task SubmitAsync(BrowserPage tab, int steps)
    {
        await tab.Page.SelectOptionAsync("#generate-model", "tiny");
        await tab.Page.FillAsync("#prompt", "red apple");
        foreach (var (name, value) in new[] { ("steps", steps), ("width", 128), ("height", 128), ("seed", 7) })
        {
            await tab.Page.FillAsync($"#generate-parameters-{name}", value.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }

        await tab.Page.ClickAsync("#generate-run");
    }

    private static async Task<ServerProcess> StartAsync()
    {
        var weights = Shared.Require("goldens", "tiny-sd");
        var server = new ServerProcess();
        var model = Directory.CreateDirectory(Path.Combine(server.Data, "models", "tiny")).FullName;
        await File.WriteAllTextAsync(Path.Combine(model, "model.yaml"), "task: text-to-image\n", TestContext.Current.CancellationToken);
        Directory.CreateSymbolicLink(Path.Combine(model, "1"), weights);
        await server.StartAsync(TestContext.Current.CancellationToken);
        return server;
    }
}
