namespace Myelin.Protocol;

/// <summary>A process that runs jobs, as <c>GET /v1/workers</c> shows it.</summary>
public sealed record WorkerInfo
{
    public required string Id { get; init; }

    public string Object { get; init; } = "worker";

    /// <summary>Machine and process.</summary>
    public required string Host { get; init; }

    /// <summary><c>live</c>, <c>draining</c> (finishes what it has) or <c>silent</c>.</summary>
    public required string State { get; init; }

    /// <summary>Where gateways on other machines call it; null where they cannot.</summary>
    public string? Address { get; init; }

    /// <summary>Jobs that it runs at a time.</summary>
    public int Capacity { get; init; }

    /// <summary>Jobs that it ran when it last spoke.</summary>
    public int Running { get; init; }

    public DateTimeOffset StartedAt { get; init; }

    public DateTimeOffset SeenAt { get; init; }

    public IReadOnlyList<WorkerModel> Models { get; init; } = [];
}

/// <param name="State">As <see cref="Model.State"/>, there.</param>
public sealed record WorkerModel(string Name, string State);
