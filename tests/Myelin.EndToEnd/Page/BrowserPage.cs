using System.Collections.Concurrent;
using Microsoft.Playwright;
using Myelin.Testing;

namespace Myelin.EndToEnd.Page;

/// <summary>One tab. Keeps what must not happen: console errors, dialogs, requests to other hosts.</summary>
public sealed class BrowserPage : IAsyncDisposable
{
    private readonly IBrowserContext _context;

    public BrowserPage(IBrowserContext context, IPage page)
    {
        _context = context;
        Page = page;
        page.Console += (_, message) =>
        {
            if (message.Type == "error")
            {
                Faults.Enqueue(message.Text);
            }
        };
        page.PageError += (_, error) => Faults.Enqueue(error);
        page.Dialog += (_, dialog) =>
        {
            Faults.Enqueue($"dialog: {dialog.Message}");
            _ = dialog.DismissAsync();
        };
        page.Request += (_, request) =>
        {
            var address = new Uri(request.Url);
            if (address.Scheme is "http" or "https" && !address.IsLoopback)
            {
                Faults.Enqueue($"asked {address}");
            }
        };
    }

    public IPage Page { get; }

    public ConcurrentQueue<string> Faults { get; } = new();

    /// <summary>Where the run on a stage stands, as the chip says it.</summary>
    public ILocator Chip(string stage, string state) => Page.Locator($"{stage} .run-head .chip[data-state={state}]");

    public async Task ChooseSampleAsync(int number)
    {
        await Page.Locator($".sample:nth-child({number})").ClickAsync();
        await Chip("#picture-stage", "succeeded").WaitForAsync();
    }

    /// <summary>Drops a file of the repository on the page, as a person drags it from a folder.</summary>
    public async Task DropAsync(string file, string type)
    {
        var bytes = Convert.ToBase64String(await File.ReadAllBytesAsync(Path.Combine(Shared.Root, file)));
        await Page.EvaluateAsync(
            """
            ([base64, name, type]) => {
              const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
              const data = new DataTransfer();
              data.items.add(new File([bytes], name, { type }));
              document.querySelector('#drop').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
            }
            """,
            new[] { bytes, Path.GetFileName(file), type });
    }

    /// <summary>Kept where <c>MYELIN_SCREENSHOTS</c> names a folder, for people to look at.</summary>
    public async Task ScreenshotAsync(string name, bool whole = true)
    {
        if (Environment.GetEnvironmentVariable("MYELIN_SCREENSHOTS") is { Length: > 0 } folder)
        {
            await Page.ScreenshotAsync(new() { Path = Path.Combine(folder, name + ".png"), FullPage = whole });
        }
    }

    public async ValueTask DisposeAsync() => await _context.DisposeAsync();
}
