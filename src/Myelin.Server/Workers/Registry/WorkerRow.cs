namespace Myelin.Server.Workers.Registry;

/// <summary>What a worker says of itself: a row that it renews, and that counts for nothing once it is silent.</summary>
internal sealed record WorkerRow
{
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

    /// <summary>From then on it is silent.</summary>
    public required DateTimeOffset ExpiresAt { get; init; }

    /// <summary>Rises with every change of <see cref="Models"/>, so that readers fetch them only then.</summary>
    public long Revision { get; init; }

    /// <summary>Every model it has, as <c>/v1/models</c> shows it there; empty in what <see cref="IWorkerStore.ListAsync"/> gives.</summary>
    public IReadOnlyList<Model> Models { get; init; } = [];

    public bool IsLive(DateTimeOffset now) => !Draining && ExpiresAt > now;
}
