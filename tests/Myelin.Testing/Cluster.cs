using System.Globalization;

namespace Myelin.Testing;

/// <summary>What a <see cref="Cluster"/> is made of. Settings are environment variables, such as <c>MYELIN_WORKER_LEASE</c>.</summary>
public sealed record ClusterPlan
{
    public int Gateways { get; init; } = 1;

    public int Workers { get; init; } = 1;

    public int Coordinators { get; init; } = 1;

    /// <summary>For every process; wins over the fixture's own.</summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();

    /// <summary>A PostgreSQL of this cluster's own, that the test may kill; otherwise a database on the one that tests share.</summary>
    public bool OwnPostgres { get; init; }

    /// <summary>A Kafka broker of this cluster's own, that the test may kill; otherwise a prefix on the one that tests share.</summary>
    public bool OwnKafka { get; init; }

    /// <summary>The server that every process runs at first.</summary>
    public string Program { get; init; } = ServerProcess.Executable;
}

/// <summary>
/// Gateways, workers and coordinators as real processes over a real PostgreSQL and a real Kafka broker, with one data
/// folder for blobs. Any process can be killed, terminated and started again on its own address; more can join. What
/// fails shows every process's log by <see cref="Logs"/>.
/// </summary>
public sealed class Cluster : IAsyncDisposable
{
    private static int s_clusters;

    private readonly TemporaryFolder _data = new();
    private readonly ClusterPlan _plan;
    private readonly string _prefix = string.Create(CultureInfo.InvariantCulture, $"cluster{Environment.ProcessId}-{Interlocked.Increment(ref s_clusters)}");
    private readonly List<ServerProcess> _gateways = [];
    private readonly List<ServerProcess> _workers = [];
    private readonly List<ServerProcess> _coordinators = [];

    private Cluster(ClusterPlan plan, PostgresServer postgres, PostgresDatabase database, KafkaBroker kafka) =>
        (_plan, Postgres, Database, Kafka) = (plan, postgres, database, kafka);

    public PostgresServer Postgres { get; }

    public KafkaBroker Kafka { get; }

    public IReadOnlyList<ServerProcess> Gateways => _gateways;

    public IReadOnlyList<ServerProcess> Workers => _workers;

    public IReadOnlyList<ServerProcess> Coordinators => _coordinators;

    public IEnumerable<ServerProcess> All => [.. _gateways, .. _workers, .. _coordinators];

    /// <summary>The data folder that the processes share: blobs, installed models.</summary>
    public string Data => _data.Path;

    /// <summary>The database that the processes share.</summary>
    internal PostgresDatabase Database { get; }

    /// <summary>What all processes have printed, for the message of a test that fails.</summary>
    public string Logs => string.Join('\n', Named().Select(p => $"── {p.Name} {p.Process.Address}\n{p.Process.Log}"));

    /// <summary>Everything of the plan, ready. Skips the test where PostgreSQL or Kafka is not there.</summary>
    public static async Task<Cluster> StartAsync(ClusterPlan plan, CancellationToken cancellationToken)
    {
        var kafka = plan.OwnKafka ? await KafkaBroker.StartOwnAsync() : await KafkaBroker.SharedAsync();
        var postgres = plan.OwnPostgres ? await PostgresServer.StartAsync(cancellationToken) : await PostgresServer.SharedAsync();
        var cluster = new Cluster(plan, postgres, await PostgresDatabase.CreateAsync(postgres, cancellationToken), kafka);
        try
        {
            // The coordinator first: its migrations are done before the others look. Then all at once, as after a power cut.
            for (var i = 0; i < plan.Coordinators; i++)
            {
                await cluster.AddCoordinatorAsync(cancellationToken);
            }

            await Task.WhenAll(
            [
                .. Enumerable.Range(0, plan.Workers).Select(_ => cluster.AddWorkerAsync(cancellationToken)),
                .. Enumerable.Range(0, plan.Gateways).Select(_ => cluster.AddGatewayAsync(cancellationToken)),
            ]);
            return cluster;
        }
        catch (Exception e)
        {
            var logs = cluster.Logs;
            await cluster.DisposeAsync();
            throw new InvalidOperationException($"the cluster did not start:\n{logs}", e);
        }
    }

    /// <summary>One more gateway, ready.</summary>
    public Task<ServerProcess> AddGatewayAsync(CancellationToken cancellationToken, IReadOnlyDictionary<string, string>? settings = null) =>
        AddAsync(_gateways, "gateway", settings, cancellationToken);

    /// <summary>One more worker, ready.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <param name="settings">Of this process, such as <c>MYELIN_MODELS</c>; win over the plan's.</param>
    public Task<ServerProcess> AddWorkerAsync(CancellationToken cancellationToken, IReadOnlyDictionary<string, string>? settings = null) =>
        AddAsync(_workers, "worker", settings, cancellationToken);

    /// <summary>One more coordinator, ready; the first to come leads.</summary>
    public Task<ServerProcess> AddCoordinatorAsync(CancellationToken cancellationToken, IReadOnlyDictionary<string, string>? settings = null) =>
        AddAsync(_coordinators, "coordinator", settings, cancellationToken);

    /// <summary>The process whose attempt of the job runs now, by the row; null while none does.</summary>
    public async Task<ServerProcess?> RunnerAsync(string job) =>
        await Database.ReadAsync<object?>("SELECT worker FROM jobs WHERE id = $1 AND state = 1", job) is string owner
            ? _workers.Find(w => w.IsRunning && owner.EndsWith($"/{w.Id}", StringComparison.Ordinal))
            : null;

    public async ValueTask DisposeAsync()
    {
        foreach (var process in All)
        {
            await process.DisposeAsync();
        }

        if (_plan.OwnKafka)
        {
            await Kafka.DisposeAsync();
        }

        if (_plan.OwnPostgres)
        {
            await Postgres.DisposeAsync();
        }

        _data.Dispose();
    }

    private async Task<ServerProcess> AddAsync(List<ServerProcess> role, string name, IReadOnlyDictionary<string, string>? own, CancellationToken cancellationToken)
    {
        var settings = new Dictionary<string, string>
        {
            ["MYELIN_ROLES"] = name,
            ["MYELIN_STORAGE_CONNECTION"] = Database.Connection,
            ["MYELIN_STORAGE_COORDINATOR_LEASE"] = "2s",
            ["MYELIN_BUS_KAFKA_BOOTSTRAP"] = Kafka.Bootstrap,
            ["MYELIN_BUS_KAFKA_PREFIX"] = _prefix,
            ["MYELIN_BUS_KAFKA_SESSION_TIMEOUT"] = "6s",
            ["MYELIN_JOBS_COORDINATOR_INTERVAL"] = "200ms",
            ["MYELIN_WORKER_LEASE"] = "3s",
            ["MYELIN_TELEMETRY_LOG_LEVEL"] = "Information",
        };
        foreach (var (key, value) in _plan.Settings.Concat(own ?? new Dictionary<string, string>()))
        {
            settings[key] = value;
        }

        var process = new ServerProcess(Data, settings) { Program = _plan.Program };
        lock (role)
        {
            role.Add(process);
        }

        await process.StartAsync(cancellationToken);
        return process;
    }

    private IEnumerable<(string Name, ServerProcess Process)> Named() =>
    [
        .. _gateways.Select((p, i) => ($"gateway {i}", p)),
        .. _workers.Select((p, i) => ($"worker {i}", p)),
        .. _coordinators.Select((p, i) => ($"coordinator {i}", p)),
    ];
}
