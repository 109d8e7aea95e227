using System.Text.Json;
using Microsoft.Playwright;
using Shouldly;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace Myelin.EndToEnd.Page;

public sealed class DocsTests(BrowserFixture browser) : IClassFixture<BrowserFixture>
{
    [Fact]
    public async Task Docs_EveryCall_IsListedAndNothingComesFromElsewhere()
    {
        await using var tab = await browser.OpenAsync();
        await tab.Page.GotoAsync(new Uri(browser.Server.Address, "/docs").AbsoluteUri);
        await Expect(tab.Page.GetByRole(AriaRole.Heading, new() { Name = "Myelin", Exact = true })).ToBeVisibleAsync();
        await tab.ScreenshotAsync("docs", whole: false);

        using var document = JsonDocument.Parse(await browser.Server.Http.GetStringAsync("/openapi/v1.json", TestContext.Current.CancellationToken));
        var calls = document.RootElement.GetProperty("paths").EnumerateObject().SelectMany(path => path.Value.EnumerateObject().Select(call => (Path: path.Name, Method: call.Name, Tag: call.Value.GetProperty("tags")[0].GetString()))).ToList();
        foreach (var tag in calls.Select(call => call.Tag).Distinct())
        {
            var closed = tab.Page.GetByRole(AriaRole.Button, new() { Name = $"Open Group - {tag}", Exact = true });
            if (await closed.IsVisibleAsync())
            {
                await closed.ClickAsync();
            }
        }

        calls.Count.ShouldBeGreaterThan(30);
        foreach (var (path, method, _) in calls)
        {
            await Expect(tab.Page.Locator($"[data-sidebar-id$='/{method.ToUpperInvariant()}{path}']")).ToBeAttachedAsync();
        }

        await tab.ScreenshotAsync("docs-calls", whole: false);
        tab.Faults.ShouldBeEmpty();
    }

    [Fact]
    public async Task Problem_Followed_ShowsItsHeading()
    {
        await using var tab = await browser.OpenAsync();
        await tab.Page.GotoAsync(new Uri(browser.Server.Address, "/problems/queue-full").AbsoluteUri);

        await Expect(tab.Page.GetByRole(AriaRole.Heading, new() { Name = "queue-full" })).ToBeInViewportAsync();
        await tab.ScreenshotAsync("docs-problem", whole: false);
        tab.Faults.ShouldBeEmpty();
    }

    [Fact]
    public async Task Docs_CallTriedOut_IsAnswered()
    {
        await using var tab = await browser.OpenAsync();
        await tab.Page.GotoAsync(new Uri(browser.Server.Address, "/docs#tag/operations/GET/health/live").AbsoluteUri);
        await tab.Page.GetByRole(AriaRole.Button, new() { Name = "Test Request" }).First.ClickAsync();
        await tab.Page.GetByRole(AriaRole.Button, new() { Name = "Send" }).First.ClickAsync();

        await Expect(tab.Page.GetByText("200 OK").First).ToBeVisibleAsync();
        await tab.ScreenshotAsync("docs-tried", whole: false);
        tab.Faults.ShouldBeEmpty();
    }
}
