using Myelin.Hosting.Storage;

namespace Myelin.Serving.Registry;

/// <summary>What a worker says of itself: a row that it renews, and that counts for nothing once it is silent.</summary>
internal sealed record WorkerRow
{
    /// <summary>All rows, as <see cref="Read"/> takes them.</summary>
    public const string Select =
        "SELECT id, host, address, socket, capacity, running, draining, started_at, seen_at, expires_at, revision FROM workers ORDER BY started_at, id";

    /// <summary>Of one life of one process.</summary>
    public required string Id { get; init; }

    /// <summary>Machine and process, for people.</summary>
    public required string Host { get; init; }

    /// <summary>Where gateways on other machines call it, <c>http://host:port</c>; null where it takes no calls from there.</summary>
    public string? Address { get; init; }

    /// <summary>Where gateways on this machine call it: the path of a Unix socket.</summary>
    public string? Socket { get; init; }

    /// <summary>Jobs that it runs at a time.</summary>
    public required int Capacity { get; init; }

    /// <summary>Jobs that it ran when it last spoke.</summary>
    public int Running { get; init; }

    /// <summary>It finishes what it has and takes nothing more.</summary>
    public bool Draining { get; init; }

    public required DateTimeOffset StartedAt { get; init; }

    public required DateTimeOffset SeenAt { get; init; }

    /// <summary>By its own clock; changes with every beat. How long it may be silent lies between <see cref="SeenAt"/> and this.</summary>
    public required DateTimeOffset ExpiresAt { get; init; }

    /// <summary>Rises with every change of <see cref="Models"/>, so that readers fetch them only then.</summary>
    public long Revision { get; init; }

    /// <summary>Every model it has, as <c>/v1/models</c> shows it there; empty in what <see cref="IWorkerStore.ListAsync"/> gives.</summary>
    public IReadOnlyList<Model> Models { get; init; } = [];

    public static WorkerRow Read<TRow>(TRow row) where TRow : IRow, allows ref struct => new()
    {
        Id = row.Text(0),
        Host = row.Text(1),
        Address = row.TextOrNull(2),
        Socket = row.TextOrNull(3),
        Capacity = row.Int32(4),
        Running = row.Int32(5),
        Draining = row.Int32(6) != 0,
        StartedAt = row.Time(7),
        SeenAt = row.Time(8),
        ExpiresAt = row.Time(9),
        Revision = row.Int64(10),
    };
}
