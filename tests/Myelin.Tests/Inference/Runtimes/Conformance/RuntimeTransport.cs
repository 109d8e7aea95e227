using Myelin.Inference.Runtimes;
using Myelin.Protocol.Sidecars;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Conformance;

/// <summary>What the suites need to know of one transport. One object serves all tests of a class.</summary>
public abstract class RuntimeTransport : IAsyncLifetime
{
    /// <summary>A model's runtime; the test disposes it.</summary>
    /// <param name="model">One of the conformance models.</param>
    /// <param name="takes">What <c>identity</c> will be given, for runtimes that must know before.</param>
    public abstract Task<IRuntime> OpenAsync(string model, params TensorSpec[] takes);

    /// <summary>Fails the test where it left something in use.</summary>
    public virtual Task CheckAsync() => Task.CompletedTask;

    public virtual ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public virtual ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }
}

/// <summary>A transport to another process: a sidecar that all tests of a class share, and ones of their own for tests that end it.</summary>
public abstract class ProcessTransport : RuntimeTransport
{
    private readonly TemporaryFolder _folder = new();
    private int _started;
    private SidecarProcess? _process;

    /// <summary>Starts at the first use; what it printed belongs to a failing test's message.</summary>
    protected SidecarProcess Process => _process ??= Start(NextAddress());

    /// <summary>Another process, not ready yet.</summary>
    public SidecarProcess StartProcess() => Start(NextAddress());

    /// <summary>Where the shared sidecar listens.</summary>
    public string Address => Process.Address;

    /// <summary>How a worker process is told to connect: <c>ring</c>, <c>inline</c>, <c>http</c> or <c>h2c</c>.</summary>
    public abstract string WorkerKind { get; }

    /// <summary>Connects to a process of the test's own and waits until it is ready.</summary>
    public Task<IRuntime> ConnectAsync(SidecarProcess process, string model) => ConnectAsync(process.Address, model);

    /// <summary>A connection of its own to whatever listens there.</summary>
    public abstract Task<IRuntime> ConnectAsync(string address, string model);

    /// <summary>A line to the shared sidecar, which is ready.</summary>
    /// <param name="make">Is given the sidecar's address and a path for a socket.</param>
    public async Task<Line> OpenLineAsync(Func<string, string, Line> make)
    {
        await (await OpenAsync("identity")).DisposeAsync();
        return make(Address, Path.Combine(_folder.Path, $"line-{Interlocked.Increment(ref _started)}.sock"));
    }

    public override Task<IRuntime> OpenAsync(string model, params TensorSpec[] takes) => ConnectAsync(Process, model);

    public override async ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            await _process.DisposeAsync();
        }

        _folder.Dispose();
        GC.SuppressFinalize(this);
        await base.DisposeAsync();
    }

    /// <summary>Such as <c>SidecarProcess.Python</c>.</summary>
    protected abstract SidecarProcess Start(string address);

    /// <summary>An address nobody listens on.</summary>
    /// <param name="socket">A path for a socket.</param>
    protected abstract string MakeAddress(string socket);

    protected static SidecarAddress Parse(string address) => SidecarAddress.TryParse(address, out var parsed) ? parsed : throw new InvalidOperationException(address);

    private string NextAddress() => MakeAddress(Path.Combine(_folder.Path, $"{Interlocked.Increment(ref _started)}.sock"));
}
