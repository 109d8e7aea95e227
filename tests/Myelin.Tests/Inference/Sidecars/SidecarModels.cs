using Microsoft.Extensions.Logging;
using Myelin.Inference;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Sidecars;
using Myelin.Inference.Tasks;
using Myelin.Protocol;
using Myelin.Testing;
using Xunit;

namespace Myelin.Tests.Inference.Sidecars;

/// <summary>A model folder with a real Python sidecar that does what its inputs are called, and a supervisor to run it.</summary>
internal sealed class SidecarModels : IAsyncDisposable
{
    private const string Script = """
        import os, sys, time
        from myelin_sidecar import Failed, Tensor, model, serve

        if os.environ.get("STARTUP") == "exit":
            print("cannot start: the flux capacitor is missing", file=sys.stderr)
            sys.exit(3)
        if os.environ.get("STARTUP") == "never":
            time.sleep(3600)
        if os.environ.get("STARTUP") == "log":
            for i in range(200):
                print("line", i)
            print("x" * 100_000)
        if os.environ.get("STARTUP") == "daemon":
            import subprocess
            print("child", subprocess.Popen(["sleep", "3600"], start_new_session=True).pid, flush=True)
        if os.environ.get("STARTUP") == "child":
            import subprocess
            print("child", subprocess.Popen(["sleep", "3600"]).pid, flush=True)

        class Many:
            name = os.environ.get("NETWORK", "model")
            version = "7"
            concurrency = 4

            def load(self, context):
                self.context = context
                if os.environ.get("STARTUP") == "refuse":
                    raise RuntimeError("no such weights")

            def infer(self, call):
                for name in list(call):
                    if name == "x":
                        return {"y": Tensor.of("FP32", call.tensor("x").shape, [2 * v for v in call.tensor("x").values()])}
                    if name == "big":
                        data = call.tensor("big")
                        return {"sum": Tensor.of("INT64", [1], [sum(bytes(data.data[:16]))])}
                    value = int(call.tensor(name).values()[0])
                    if name == "crash":
                        print("crashing now", file=sys.stderr, flush=True)
                        os._exit(7)
                    if name == "crashonce":
                        mark = os.path.join(os.environ["TMPDIR"], f"mark-{value}")
                        if not os.path.exists(mark):
                            open(mark, "w").close()
                            os._exit(7)
                    if name == "hang":
                        time.sleep(3600)
                    if name == "stop":
                        os.kill(os.getpid(), 19)
                        time.sleep(3600)  # the signal takes a moment
                    if name == "gate":
                        gate = os.path.join(os.environ["TMPDIR"], f"gate-{value}")
                        open(gate + ".begun", "w").close()
                        while not os.path.exists(gate):
                            call.check()
                            time.sleep(0.002)
                    if name == "sleep":
                        end = time.monotonic() + value / 1000
                        while time.monotonic() < end:
                            call.check()
                            time.sleep(0.002)
                    if name == "memory":
                        self.kept = bytearray(value)
                        for i in range(0, value, 4096):
                            self.kept[i] = 1
                    if name == "fail":
                        raise Failed("as you wish")
                    if name == "environment":
                        text = "\n".join(f"{k}={v}" for k, v in sorted(os.environ.items())) + f"\nCWD={os.getcwd()}\nUID={os.getuid()}"
                        return {"text": Tensor.of("BYTES", [1], [text.encode()])}
                    return {"pid": Tensor.of("INT64", [1], [os.getpid()])}

        serve(Many())
        """;

    private readonly TemporaryFolder _folder = new();
    private readonly ListLoggerFactory _log = new();
    private readonly List<IRuntimeSource> _sources = [];
    private SidecarSupervisor? _supervisor;
    private long _gates;

    public SidecarModels(SidecarOptions? options = null)
    {
        Assert.SkipUnless(File.Exists("/usr/bin/python3"), "needs python3");
        Options = (options ?? new SidecarOptions { RunFolder = "" }) with
        {
            RunFolder = Path.Combine(_folder.Path, "run"),
            RingBytes = 8 << 20,
            RestartDelay = TimeSpan.FromMilliseconds(20),
        };
    }

    public SidecarOptions Options { get; set; }

    public TimeProvider Time { get; init; } = TimeProvider.System;

    public string Root => _folder.Path;

    public string RunFolder => Options.RunFolder;

    public IReadOnlyList<string> Log => _log.Lines;

    public SidecarSupervisor Supervisor => _supervisor ??= new SidecarSupervisor(Options, Time, _log);

    public static string PythonPath => Path.Combine(Shared.Root, "sidecars", "python");

    /// <summary>Writes the folder of a model; <paramref name="sidecar"/> holds further lines of its section.</summary>
    public ModelDefinition Write(string name = "many", string sidecar = "", string top = "", string startup = "", string? network = null)
    {
        var yaml = $"""
            task: tensor
            runtime: sidecar
            {top}
            sidecar:
              command: [/usr/bin/python3, serve.py]
              environment: {"{"}PYTHONPATH: '{PythonPath}', STARTUP: '{startup}', TMPDIR: '{_folder.Path}'{(network is null ? "" : $", NETWORK: {network}")}{"}"}
              {sidecar.Replace("\n", "\n  ", StringComparison.Ordinal)}
            """;
        _folder.Write($"{name}/serve.py", Script);
        _folder.Write($"{name}/model.yaml", yaml);
        return ModelFolder.Load(Path.Combine(_folder.Path, name))[^1];
    }

    /// <summary>The network of a source that ends with these models.</summary>
    public async Task<IRuntime> RunAsync(ModelDefinition definition)
    {
        _sources.Add(await OpenAsync(definition));
        return await _sources[^1].OpenAsync("model.onnx", TestContext.Current.CancellationToken);
    }

    public async Task<IRuntimeSource> OpenAsync(ModelDefinition definition) =>
        await Supervisor.OpenAsync(definition, TaskLoader.Networks(definition), TestContext.Current.CancellationToken);

    public static Tensor Number(string name, long value) => Tensor.Of<long>(name, ElementType.Int64, [value], 1);

    /// <summary>Calls with one number; the answer's one number.</summary>
    public static async Task<long> CallAsync(IRuntime runtime, string name, long value = 0, CancellationToken? cancellationToken = null)
    {
        using var input = Number(name, value);
        using var outputs = await runtime.InferAsync([input], cancellationToken ?? TestContext.Current.CancellationToken);
        return outputs[0].As<long>()[0];
    }

    /// <summary>A call that computes until its gate is opened: no time decides. Ends when it computes.</summary>
    public async Task<(Task<long> Call, Action Open)> BeginAsync(IRuntime runtime)
    {
        var (number, path) = NewGate();
        var call = CallAsync(runtime, "gate", number);
        await Wait.UntilAsync(() => File.Exists(path + ".begun"), "the call computes");
        return (call, () => File.WriteAllText(path, ""));
    }

    /// <summary>Which processes answer so many calls that are under way together.</summary>
    public async Task<IReadOnlyList<long>> SpreadAsync(IRuntime runtime, ModelDefinition definition, int calls)
    {
        var (number, path) = NewGate();
        var running = Enumerable.Range(0, calls).Select(_ => CallAsync(runtime, "gate", number)).ToList();
        await Wait.UntilAsync(() => Supervisor.Find(definition)!.Endpoints.Sum(e => e.Calls) == calls, "all calls are under way");
        await File.WriteAllTextAsync(path, "");
        return [.. (await Task.WhenAll(running)).Distinct()];
    }

    private (long Number, string Path) NewGate() => Interlocked.Increment(ref _gates) is var number ? (number, Path.Combine(_folder.Path, $"gate-{number}")) : default;

    public static bool IsAlive(long pid) => Myelin.Inference.Runtimes.Sidecars.Processes.ProcessFacts.StartOf((int)pid) is not null;

    public async ValueTask DisposeAsync()
    {
        foreach (var source in _sources)
        {
            await source.DisposeAsync();
        }

        if (_supervisor is not null)
        {
            await _supervisor.DisposeAsync();
        }

        _folder.Dispose();
    }

    private sealed class ListLoggerFactory : ILoggerFactory, ILogger
    {
        private readonly List<string> _lines = [];

        public IReadOnlyList<string> Lines
        {
            get
            {
                lock (_lines)
                {
                    return [.. _lines];
                }
            }
        }

        public void AddProvider(ILoggerProvider provider)
        {
        }

        public ILogger CreateLogger(string categoryName) => this;

        public void Dispose()
        {
        }

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (_lines)
            {
                _lines.Add(formatter(state, exception));
            }
        }
    }
}
