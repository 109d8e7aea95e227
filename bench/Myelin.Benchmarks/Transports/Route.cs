using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Http;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol.Sidecars;
using Myelin.Testing;

namespace Myelin.Benchmarks.Transports;

/// <summary>One way to reach a model.</summary>
/// <param name="Transport">As the tables call it.</param>
/// <param name="Language">Of the sidecar; empty for none.</param>
/// <param name="OpenAsync">Opens a model by its name; the runtime is the caller's.</param>
internal sealed record Route(string Transport, string Language, Func<string, Task<IRuntime>> OpenAsync)
{
    public const string Native = "native";
    public const string Ring = "uds + ring";
    public const string Http = "HTTP/1.1 TCP";

    public override string ToString() => Language.Length == 0 ? Transport : $"{Transport}, {Language}";
}

/// <summary>All ways to one set of models: this process, a .NET sidecar and a Python one, each behind every address it offers.</summary>
internal sealed class Routes : IAsyncDisposable
{
    private readonly List<BenchSidecar> _sidecars = [];

    /// <param name="folder">Of the networks; sockets are made there too.</param>
    public Routes(string folder)
    {
        All.Add(new(Route.Native, "", name => Task.FromResult<IRuntime>(OnnxRuntime.Load(Path.Combine(folder, name + ".onnx"), new OnnxOptions()))));
        Add(".NET", folder, Environment.ProcessPath!, ["sidecar", folder], http2: true);
        if (FindPython() is { } python)
        {
            Add("Python", folder, python, [Path.Combine(Shared.Root, "sidecars", "python", "tests", "conformance_sidecar.py")], http2: false);
        }
    }

    public List<Route> All { get; } = [];

    public async ValueTask DisposeAsync()
    {
        foreach (var sidecar in _sidecars)
        {
            await sidecar.DisposeAsync();
        }
    }

    private void Add(string language, string folder, string program, string[] arguments, bool http2)
    {
        var (uds, unix, tcp) = ($"{folder}/{language}.sock", $"http+unix:{folder}/{language}-http.sock", $"http://127.0.0.1:{ServerProcess.FreePort()}");
        _sidecars.Add(new BenchSidecar(program, arguments, "unix:" + uds, unix, tcp));
        All.Add(new(Route.Ring, language, name => UdsAsync(uds, name, sharedMemory: true)));
        All.Add(new("uds inline", language, name => UdsAsync(uds, name, sharedMemory: false)));
        All.Add(new(Route.Http, language, name => HttpAsync(tcp, name, http2: false)));
        All.Add(new("HTTP over UDS", language, name => HttpAsync(unix, name, http2: false)));
        if (http2)
        {
            All.Add(new("h2c TCP", language, name => HttpAsync(tcp, name, http2: true)));
        }
    }

    private static async Task<IRuntime> UdsAsync(string path, string name, bool sharedMemory) => await UdsRuntime.ConnectAsync(
        new UdsOptions { SocketPath = path, Model = name, SharedMemory = sharedMemory, ConnectTimeout = TimeSpan.FromSeconds(30) }, CancellationToken.None);

    private static async Task<IRuntime> HttpAsync(string address, string name, bool http2) => await HttpRuntime.ConnectAsync(
        new HttpOptions { Address = SidecarAddress.TryParse(address, out var parsed) ? parsed : throw new ArgumentException(address), Model = name, Http2 = http2 }, CancellationToken.None);

    private static string? FindPython() => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(folder => Path.Combine(folder, "python3")).FirstOrDefault(File.Exists);
}
