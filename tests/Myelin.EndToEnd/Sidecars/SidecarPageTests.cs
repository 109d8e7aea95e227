using System.Text.RegularExpressions;
using Microsoft.Playwright;
using Myelin.EndToEnd.Page;
using Shouldly;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace Myelin.EndToEnd.Sidecars;

/// <summary>A model's card tells how its sidecar is, and replaces it.</summary>
public sealed class SidecarPageTests(BrowserFixture browser) : IClassFixture<BrowserFixture>
{
    [Fact]
    public async Task Models_SidecarKilledAndStartedAgain_ShowsEachOnItsCard()
    {
        await using var server = await SidecarServer.StartAsync(s => s.Write("uds", environment: "VERSION: '2026.1'"));
        await server.RunAsync();
        await using var tab = await browser.OpenAsync(hash: "#models", server: server.Server.Address);
        var card = tab.Page.Locator("#installed .card").Filter(new() { HasText = "looker" });
        await Expect(card.Locator(".sidecar .chip")).ToHaveTextAsync("ready");
        await card.Locator(".sidecar summary").ClickAsync();
        var pid = await server.PidAsync();
        await Expect(card.Locator(".sidecar")).ToContainTextAsync("version 2026.1");
        await Expect(card.Locator(".sidecar")).ToContainTextAsync($"process {pid}");

        Processes.Kill(pid);
        await Expect(card.Locator(".sidecar summary")).ToContainTextAsync("1 restart", new() { Timeout = 30_000 });
        await Expect(card.Locator(".sidecar .chip")).ToHaveTextAsync("ready", new() { Timeout = 30_000 });
        await tab.ScreenshotAsync("sidecar");

        var second = await server.PidAsync();
        await card.GetByRole(AriaRole.Button, new() { Name = "Start again" }).ClickAsync();
        await Expect(card.Locator(".sidecar")).Not.ToContainTextAsync($"process {second}", new() { Timeout = 30_000 });
        await Expect(card.Locator(".sidecar")).ToContainTextAsync(new Regex("process [0-9]+ · ready"), new() { Timeout = 30_000 });
        tab.Faults.ShouldBeEmpty();
    }
}
