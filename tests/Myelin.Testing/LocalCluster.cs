using System.Diagnostics;
using System.Globalization;
using Xunit;

namespace Myelin.Testing;

/// <summary>
/// The topology that <c>./dev cluster</c> brings up, driven by that script and nothing else: gateways, workers,
/// coordinators over PostgreSQL, Kafka and S3 of their own, each part of which can be killed and started. Parts have the
/// script's names, such as <c>worker-1</c>.
/// </summary>
public sealed class LocalCluster : IAsyncDisposable
{
    private const int Ports = 70;

    private readonly TemporaryFolder _folder = new();
    private readonly int _port = ServerProcess.FreePorts(Ports);
    private readonly LocalClusterPlan _plan;

    private LocalCluster(LocalClusterPlan plan)
    {
        _plan = plan;
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(_folder.Path, (UnixFileMode)0b111_101_101); // the user postgres passes through
        }

        Gateways = [.. Enumerable.Range(0, plan.Gateways).Select(i => new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{_port + i}"), Timeout = TimeSpan.FromMinutes(3) })];
    }

    /// <summary>Clients of the gateways, in the order of their numbers.</summary>
    public IReadOnlyList<HttpClient> Gateways { get; }

    /// <summary>Names of the processes of ours.</summary>
    public IEnumerable<string> Processes => [.. Names("gateway", _plan.Gateways), .. Names("worker", _plan.Workers), .. Names("coordinator", _plan.Coordinators)];

    /// <summary>Where its Prometheus answers, if one is installed.</summary>
    public Uri Prometheus => new($"http://127.0.0.1:{_port + 60}");

    /// <summary>The database that the processes share.</summary>
    internal PostgresDatabase Database => PostgresDatabase.Of(
        $"Host=127.0.0.1;Port={_port + 30};Username=myelin;Password={File.ReadAllText(Path.Combine(Home, "secrets", "postgres")).Trim()};Database=myelin");

    /// <summary>The ends of all processes' logs, for the message of a test that fails.</summary>
    public string Logs => string.Join('\n', Processes.Select(part => $"── {part}\n{string.Join('\n', Log(part).Split('\n').TakeLast(40))}"));

    private string Home => _folder.Combine("cluster");

    /// <summary>Everything of the plan, ready. Skips the test where PostgreSQL, Kafka or S3 is not there.</summary>
    public static async Task<LocalCluster> StartAsync(LocalClusterPlan plan, CancellationToken cancellationToken)
    {
        KafkaBroker.Require();
        Shared.Require("s3", "s3s-fs");
        Assert.SkipUnless(PostgresServer.IsInstalled, "needs PostgreSQL (apt-get install postgresql; ./dev test does it as root)");
        var cluster = new LocalCluster(plan);
        try
        {
            await cluster.RunAsync(cancellationToken, "up");
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>What a part has printed so far, over all its lives.</summary>
    public string Log(string part)
    {
        var log = Path.Combine(Home, part, "log");
        return File.Exists(log) ? File.ReadAllText(log) : "";
    }

    /// <summary>Starts a part that was stopped, on the data and address it had; returns once it is ready.</summary>
    /// <exception cref="InvalidOperationException">It ended instead.</exception>
    public Task StartAsync(string part, CancellationToken cancellationToken) => RunAsync(cancellationToken, "start", part);

    /// <summary>SIGTERM, and the wait for its end.</summary>
    public Task StopAsync(string part, CancellationToken cancellationToken) => RunAsync(cancellationToken, "stop", part);

    /// <summary>SIGINT, as Ctrl-C would, and the wait for its end.</summary>
    public Task InterruptAsync(string part, CancellationToken cancellationToken) => RunAsync(cancellationToken, "interrupt", part);

    /// <summary>SIGKILL, as a crash would.</summary>
    public Task KillAsync(string part, CancellationToken cancellationToken) => RunAsync(cancellationToken, "kill", part);

    /// <summary>Any command of the script; its standard output.</summary>
    /// <exception cref="InvalidOperationException">It failed; the message is what it printed.</exception>
    public async Task<string> RunAsync(CancellationToken cancellationToken, params string[] arguments)
    {
        var start = new ProcessStartInfo(Path.Combine(Shared.Root, "deploy", "local", "cluster"), arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (key, value) in _plan.Settings)
        {
            start.Environment[key] = value;
        }

        start.Environment["CLUSTER_DIR"] = Home;
        start.Environment["CLUSTER_PORT"] = Text(_port);
        start.Environment["CLUSTER_GATEWAYS"] = Text(_plan.Gateways);
        start.Environment["CLUSTER_WORKERS"] = Text(_plan.Workers);
        start.Environment["CLUSTER_COORDINATORS"] = Text(_plan.Coordinators);
        start.Environment["CLUSTER_SERVER"] = ServerProcess.Executable;
        start.Environment["MYELIN_SHARED"] = Shared.Folder;
        using var process = Process.Start(start)!;
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(cancellationToken), process.StandardError.ReadToEndAsync(cancellationToken));
        try
        {
            await process.WaitForExitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            process.Kill(); // or it would go on starting parts behind the back of `rm`
            throw;
        }

        return process.ExitCode == 0 ? await output : throw new InvalidOperationException($"cluster {string.Join(' ', arguments)}: {await errors}{await output}");
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var gateway in Gateways)
        {
            gateway.Dispose();
        }

        try
        {
            await RunAsync(CancellationToken.None, "rm");
        }
        finally
        {
            _folder.Dispose();
        }
    }

    private static IEnumerable<string> Names(string role, int count) => Enumerable.Range(1, count).Select(i => $"{role}-{i}");

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}

/// <summary>What a <see cref="LocalCluster"/> is made of.</summary>
public sealed record LocalClusterPlan
{
    public int Gateways { get; init; } = 2;

    public int Workers { get; init; } = 2;

    public int Coordinators { get; init; } = 2;

    /// <summary>Environment variables of every process, such as <c>MYELIN_WORKER_LEASE</c>.</summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();
}
