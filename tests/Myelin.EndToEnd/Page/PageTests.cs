using Microsoft.Playwright;
using Shouldly;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace Myelin.EndToEnd.Page;

public sealed class PageTests(BrowserFixture browser) : IClassFixture<BrowserFixture>
{
    [Fact]
    public async Task Drop_Picture_ShowsAnnotatedBesideOriginalWithFindings()
    {
        await using var tab = await browser.OpenAsync();
        await tab.Page.SelectOptionAsync("#picture-model", "faces");
        await tab.DropAsync("samples/portrait.jpg", "image/jpeg");

        await tab.Chip("#picture-stage", "succeeded").WaitForAsync();
        await Expect(tab.Page.Locator("#picture-stage figure img")).ToHaveCountAsync(2);
        (await tab.Page.Locator("#picture-stage img[alt='What the model sees']").EvaluateAsync<int>("i => i.decode().then(() => i.naturalWidth)")).ShouldBe(1200);
        await Expect(tab.Page.Locator(".findings li")).ToHaveCountAsync(3);
        await Expect(tab.Page.Locator(".answer h3").First).ToContainTextAsync("3 findings");

        // Pointing at a finding lights its box on the original.
        await tab.Page.Locator(".findings li").First.HoverAsync();
        await Expect(tab.Page.Locator(".overlay .lit")).ToHaveCountAsync(1);
        await tab.ScreenshotAsync("faces");
        tab.Faults.ShouldBeEmpty();
    }

    [Fact]
    public async Task Sample_Sign_IsReadAndBringsItsModel()
    {
        await using var tab = await browser.OpenAsync();
        await tab.ChooseSampleAsync(2);
        await Expect(tab.Page.Locator("#picture-model")).ToHaveValueAsync("text-reader");
        await Expect(tab.Page.Locator("pre.text")).ToContainTextAsync("HERON LAKE");
        await Expect(tab.Page.Locator("#picture-curl")).ToContainTextAsync("image=@sign.jpg");
        await tab.ScreenshotAsync("sign");
        tab.Faults.ShouldBeEmpty();
    }

    [Fact]
    public async Task HostileLabel_IsShownAsTextAndNeverRuns()
    {
        await using var tab = await browser.OpenAsync();
        await tab.Page.SelectOptionAsync("#picture-model", "hostile");
        await tab.DropAsync("samples/portrait.jpg", "image/jpeg");
        await tab.Chip("#picture-stage", "succeeded").WaitForAsync();

        await Expect(tab.Page.Locator(".findings .name").First).ToHaveTextAsync(BrowserFixture.HostileLabel);
        await Expect(tab.Page.Locator("#picture-model-about")).ToContainTextAsync("<script>alert(2)</script>");
        await Expect(tab.Page.Locator("main img[src='x'], main script")).ToHaveCountAsync(0);
        tab.Faults.ShouldBeEmpty();
    }

    [Fact]
    public async Task BrokenModel_CannotBeChosenAndSaysWhy()
    {
        await using var tab = await browser.OpenAsync();
        await Expect(tab.Page.Locator("#picture-model option[value=torn]")).ToHaveCountAsync(0);
        await tab.Page.Locator(".broken summary").ClickAsync();
        await Expect(tab.Page.Locator(".broken")).ToContainTextAsync("output.decoder");
        await tab.Page.GetByRole(AriaRole.Link, new() { Name = "Models" }).ClickAsync();
        await Expect(tab.Page.Locator("#installed .is-broken")).ToContainTextAsync("torn");
        await Expect(tab.Page.Locator("#catalogue .card").First).ToBeVisibleAsync();
        await tab.ScreenshotAsync("models");
        tab.Faults.ShouldBeEmpty();
    }

    [Fact]
    public async Task Cancel_JobInTheQueue_EndsAsCancelled()
    {
        await using var tab = await browser.OpenAsync();
        var before = await browser.FillQueueAsync("text-reader", 12);
        await tab.Page.SelectOptionAsync("#picture-model", "text-reader");
        await tab.DropAsync("samples/street.jpg", "image/jpeg");
        await Expect(tab.Page.Locator("#picture-stage .detail")).ToContainTextAsync("before it");
        await tab.ScreenshotAsync("queued");
        await tab.Page.Locator(".cancel").ClickAsync();

        await tab.Chip("#picture-stage", "cancelled").WaitForAsync();
        await Expect(tab.Page.Locator(".cancel")).ToBeHiddenAsync();
        await browser.CancelAsync(before);
        tab.Faults.ShouldBeEmpty();
    }

    [Fact]
    public async Task WrongParameter_IsSaidAtItsField()
    {
        await using var tab = await browser.OpenAsync();
        await tab.Page.SelectOptionAsync("#picture-model", "faces");
        await tab.Page.Locator("#picture-parameters-maxDetections").FillAsync("100000");
        await tab.DropAsync("samples/portrait.jpg", "image/jpeg");
        await Expect(tab.Page.Locator("#picture-stage .notice.bad")).ToBeVisibleAsync();
        await Expect(tab.Page.Locator("#picture-parameters-maxDetections-error")).ToContainTextAsync("must be");
    }

    [Fact]
    public async Task NotAPicture_FailsWithTheServersSentence()
    {
        await using var tab = await browser.OpenAsync();
        await tab.Page.SelectOptionAsync("#picture-model", "faces");
        await tab.DropAsync("README.md", "image/png");
        await Expect(tab.Page.Locator("#picture-stage .notice.bad")).ToBeVisibleAsync();
    }

    [Fact]
    public async Task Jobs_List_OpensOneWithItsPictures()
    {
        await using var tab = await browser.OpenAsync();
        await tab.ChooseSampleAsync(1);
        await tab.Page.GetByRole(AriaRole.Link, new() { Name = "Jobs" }).ClickAsync();
        await tab.ScreenshotAsync("jobs");
        await tab.Page.Locator("#jobs-list a").First.ClickAsync();
        await Expect(tab.Page.Locator("#job-stage figure img")).ToHaveCountAsync(2);
        await tab.ScreenshotAsync("job");
        tab.Faults.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("light", 1280)]
    [InlineData("dark", 1280)]
    [InlineData("dark", 390)]
    [InlineData("light", 320)]
    public async Task Layout_AnyWidthAndTheme_NeverScrollsSideways(string theme, int width)
    {
        await using var tab = await browser.OpenAsync(new()
        {
            ViewportSize = new() { Width = width, Height = 844 },
            ColorScheme = theme == "dark" ? ColorScheme.Dark : ColorScheme.Light,
        });
        await tab.ChooseSampleAsync(1);
        foreach (var section in new[] { "pictures", "generate", "models", "jobs" })
        {
            await tab.Page.EvaluateAsync($"location.hash = '{section}'");
            await Expect(tab.Page.Locator($"#view-{section}")).ToBeVisibleAsync();
            (await tab.Page.EvaluateAsync<int>("document.documentElement.scrollWidth - innerWidth")).ShouldBeLessThanOrEqualTo(0, section);
            await tab.ScreenshotAsync($"{section}-{theme}-{width}");
        }
    }

    [Fact]
    public async Task Keyboard_Alone_ReachesTheAnswer()
    {
        await using var tab = await browser.OpenAsync();
        for (var press = 0; press < 40; press++)
        {
            await tab.Page.Keyboard.PressAsync("Tab");
            if (await tab.Page.EvaluateAsync<bool>("document.activeElement.matches('.sample')"))
            {
                await tab.Page.Keyboard.PressAsync("Enter");
                await tab.Chip("#picture-stage", "succeeded").WaitForAsync();
                return;
            }
        }

        Assert.Fail("Tab never reached a sample.");
    }
}
