using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Myelin.Hosting.Configuration;

/// <summary>
/// Every setting of the server. A property is a YAML key (<c>jobs: {queueLimit: 100}</c>), an environment variable
/// (<c>MYELIN_JOBS_QUEUE_LIMIT</c>) and a flag (<c>--jobs-queue-limit</c>); the flag wins, then the environment, then
/// <c>myelin.yaml</c>. The descriptions are what <c>--help</c> prints.
/// </summary>
internal sealed record MyelinOptions
{
    [Description("Address to listen on. Anything but loopback needs API keys or --insecure.")]
    [Form(Form.Listen)]
    public string Urls { get; init; } = "http://127.0.0.1:8080";

    [Description("Roles of this process: gateway (the API), worker (runs jobs), coordinator (upkeep), comma-separated.")]
    public string Roles { get; init; } = "gateway,worker,coordinator";

    [Description("Folder for the database and the blobs.")]
    public string Data { get; init; } = ".data";

    [Description("Model repository: folders with a model.yaml. Default: models/ inside the data folder.")]
    public string? Models { get; init; }

    [Description("Folder with model files, served by their sha256, asked before any download.")]
    public string? ModelMirror { get; init; }

    [Description("Serve any address without API keys. Only for networks you trust.")]
    public bool Insecure { get; init; }

    [Description("Ask for an API key on loopback too. On any other address keys are always asked for.")]
    public bool RequireKeys { get; init; }

    [Description("Host names the server answers to, beside loopback and the listen address, comma-separated. Guards against DNS rebinding.")]
    [Form(Form.Hosts)]
    public string AllowedHosts { get; init; } = "";

    [Description("Origins whose pages may call the API, comma-separated. The server's own page always may.")]
    [Form(Form.Origins)]
    public string AllowedOrigins { get; init; } = "";

    public StorageOptions Storage { get; init; } = new();

    public ArtifactsOptions Artifacts { get; init; } = new();

    public JobsOptions Jobs { get; init; } = new();

    public WorkerOptions Worker { get; init; } = new();

    public InputOptions Input { get; init; } = new();

    public WebhookOptions Webhooks { get; init; } = new();

    public RuntimeOptions Runtime { get; init; } = new();

    public BusOptions Bus { get; init; } = new();

    public OpenTopicsOptions OpenTopics { get; init; } = new();

    public SidecarsOptions Sidecars { get; init; } = new();

    public TelemetryOptions Telemetry { get; init; } = new();

    public CallsOptions Calls { get; init; } = new();

    public ClusterOptions Cluster { get; init; } = new();

    /// <summary>Settings that capabilities keep to themselves: the section's name and its record, each of another type.</summary>
    internal IReadOnlyList<(string Name, object Settings)> Sections { get; init; } = [];

    /// <summary>How the installation is built.</summary>
    public Topology Topology =>
        Storage.Connection.Length == 0 ? Topology.Alone
        : Bus.Kafka.Bootstrap.Length == 0 ? Topology.SharedDatabase
        : Topology.Cluster;

    /// <summary>Whether this process plays a role.</summary>
    public bool Runs(Role role) => RolesCheck.Of(Roles).HasFlag(role);
}

internal sealed record StorageOptions
{
    [Description("PostgreSQL connection string (Host=db;Username=myelin;Password=...;Database=myelin). Empty = SQLite in the data folder. A secret: set it in the environment.")]
    public string Connection { get; init; } = "";

    [Description("Connections to PostgreSQL, beside the one that writes jobs.")]
    [Range(1, 1000)]
    public int Connections { get; init; } = 16;

    [Description("How long a call waits for a PostgreSQL that went away before it fails.")]
    [Range(typeof(TimeSpan), "00:00:00", "00:10:00")]
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(5);

    [Description("How long the start waits for a PostgreSQL that is not there yet.")]
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00")]
    public TimeSpan StartTimeout { get; init; } = TimeSpan.FromSeconds(30);

    [Description("How long a silent coordinator keeps its place before another process takes over.")]
    [Range(typeof(TimeSpan), "00:00:00.2", "00:10:00")]
    public TimeSpan CoordinatorLease { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Without the connection string: it holds a password.</summary>
    public override string ToString() => Connection.Length == 0 ? "SQLite" : "PostgreSQL";
}

internal sealed record JobsOptions
{
    [Description("Queued jobs of one model before 429; a tenant that holds less than a tenth of it still gets in.")]
    [Range(0, 10_000_000)]
    public int QueueLimit { get; init; } = 1000;

    [Description("Attempts before a job fails.")]
    [Range(1, 100)]
    public int MaxAttempts { get; init; } = 3;

    [Description("First back-off between attempts; doubles each time, with jitter.")]
    [Range(typeof(TimeSpan), "00:00:00", "1.00:00:00")]
    public TimeSpan RetryDelay { get; init; } = TimeSpan.FromSeconds(1);

    [Description("How long results and artifacts are kept after the end.")]
    [Range(typeof(TimeSpan), "00:00:00", "3650.00:00:00")]
    public TimeSpan Retention { get; init; } = TimeSpan.FromHours(24);

    [Description("How long a purged job is remembered, answering 410, before it is unknown.")]
    [Range(typeof(TimeSpan), "00:00:00", "3650.00:00:00")]
    public TimeSpan Remember { get; init; } = TimeSpan.FromDays(7);

    [Description("How often the coordinator looks for lost leases, deadlines, retention.")]
    [Range(typeof(TimeSpan), "00:00:00.05", "00:10:00")]
    public TimeSpan CoordinatorInterval { get; init; } = TimeSpan.FromSeconds(1);

    [Description("Between processes: a queued job that nobody has started after this long is announced again.")]
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan AnnounceAfter { get; init; } = TimeSpan.FromSeconds(30);

    [Description("Share of starts for high, normal and low priority.")]
    public string Weights { get; init; } = "8,3,1";

    [Description("Inputs up to this size are stored in the database with their job, larger ones as files.")]
    [Range(0, 1048576)]
    public int SmallInputBytes { get; init; } = 16 << 10;

    [Description("Free bytes on the data disk below which submissions are refused with 507.")]
    public long MinimumFreeBytes { get; init; } = 64L << 20;
}

internal sealed record WorkerOptions
{
    [Description("Jobs one process runs at a time. 0 = one per processor.")]
    [Range(0, 1024)]
    public int Concurrency { get; init; }

    [Description("A worker's hold on a job without a heartbeat.")]
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(15);

    [Description("Address for synchronous calls from gateways on other machines, http://0.0.0.0:8081. Anything but loopback needs cluster.key. Empty = only from this machine.")]
    [Form(Form.Listen)]
    public string Listen { get; init; } = "";

    [Description("Address that gateways are told, http://host:port. Default: worker.listen, with this machine's name where it is 0.0.0.0.")]
    [Form(Form.Server)]
    public string Address { get; init; } = "";

    [Description("How long the models of a worker that fell silent stay known: jobs for them are taken and wait.")]
    [Range(typeof(TimeSpan), "00:00:00", "3650.00:00:00")]
    public TimeSpan Remember { get; init; } = TimeSpan.FromHours(24);

    [Description("Longest run of one attempt.")]
    [Range(typeof(TimeSpan), "00:00:00.1", "24.00:00:00")]
    public TimeSpan AttemptTimeout { get; init; } = TimeSpan.FromMinutes(30);

    [Description("How long a shutdown waits for running jobs before they go back to the queue.")]
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(20);
}

internal sealed record InputOptions
{
    [Description("Largest request body in bytes.")]
    [Range(1024d, 1073741824d)]
    public long MaxBytes { get; init; } = 32L << 20;

    [Description("Bytes of request bodies held in memory at a time; requests beyond that wait before they are read.")]
    public long BufferBytes { get; init; } = 256L << 20;

    [Description("Slowest upload in bytes a second, after ten seconds of grace; a slower one is ended with 408, because it holds a place in memory.")]
    [Range(1, 1 << 20)]
    public int MinBytesPerSecond { get; init; } = 16 << 10;

    [Description("Longest wait for an input by URL.")]
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00")]
    public TimeSpan UrlTimeout { get; init; } = TimeSpan.FromSeconds(20);

    [Description("Largest picture in megapixels, checked in its header before decoding.")]
    [Range(0.01, 1000d)]
    public double MaxMegapixels { get; init; } = 50;

    [Description("Accept inputs by URL. Never reaches private addresses.")]
    public bool AllowUrls { get; init; }

    [Description("Hosts that inputs by URL may come from, comma-separated; * = any public host, empty = none.")]
    [Form(Form.AnyHosts)]
    public string UrlHosts { get; init; } = "";
}

internal sealed record WebhookOptions
{
    [Description("Deliver to loopback and private addresses too.")]
    public bool AllowPrivate { get; init; }

    [Description("Attempts before a delivery is given up.")]
    [Range(1, 1000)]
    public int MaxAttempts { get; init; } = 8;

    [Description("First back-off; doubles each time, with jitter.")]
    [Range(typeof(TimeSpan), "00:00:00", "1.00:00:00")]
    public TimeSpan RetryDelay { get; init; } = TimeSpan.FromSeconds(2);

    [Description("Longest wait for an answer.")]
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00")]
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    [Description("Signs deliveries whose submission brought no secret, at least 16 characters, the same for all processes. Empty = made, in webhook-secret of the data folder. Set it in the environment.")]
    public string Secret { get; init; } = "";

    /// <summary>Never the secret.</summary>
    public override string ToString() => $"webhooks, {MaxAttempts} attempts";
}

internal sealed record RuntimeOptions
{
    [Description("Threads inside one inference. 0 = one per processor.")]
    [Range(0, 1024)]
    public int IntraOpThreads { get; init; } = 1;

    [Description("Bytes for the models kept loaded and the calls under way. Idle models make way, the longest unused first; a call that does not fit now waits, one that never could is refused. 0 = half of the machine's memory, where a control group limits it three eighths of that limit.")]
    public long MemoryBudget { get; init; }

    /// <summary>The default is half of what .NET may use, which is all of the machine's memory and three quarters of a control group's.</summary>
    public long Budget => MemoryBudget > 0 ? MemoryBudget : GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 2;

    [Description("Another libonnxruntime.so, such as a CUDA build: its path, or a name that the system's loader finds.")]
    [Form(Form.Library)]
    public string? Library { get; init; }
}

internal sealed record TelemetryOptions
{
    [Description("OTLP endpoint for traces; none = no traces leave the process.")]
    [Form(Form.Collector)]
    public string? OtlpEndpoint { get; init; }

    [Description("Log format: text or json.")]
    [AllowedValues("text", "json")]
    public string LogFormat { get; init; } = "text";

    [Description("Lowest level logged: Trace, Debug, Information, Warning, Error.")]
    [AllowedValues("Trace", "Debug", "Information", "Warning", "Error")]
    public string LogLevel { get; init; } = "Information";

    [Description("Secret that opens /metrics and nothing else, at least 16 characters, besides keys of scope metrics. It works while the database is away. Set it in the environment.")]
    [Form(Form.HeaderSecret)]
    public string MetricsKey { get; init; } = "";

    /// <summary>Never the key.</summary>
    public override string ToString() => $"telemetry at {LogLevel}";
}
