namespace Myelin.Inference.Runtimes.Sidecars.Connections;

/// <summary>A sidecar that is connected and ready: what both transports have in common for those who supervise.</summary>
internal interface ISidecarConnection : IAsyncDisposable
{
    /// <summary>What it calls itself; null where it does not say.</summary>
    string? Product { get; }

    /// <summary>It takes no new calls: it was told to end.</summary>
    bool IsDraining { get; }

    /// <summary>Completes when it can be called no more; never faults.</summary>
    Task<ConnectionLoss> Lost { get; }

    /// <summary>Bytes of shared memory, reserved and taken by tensors of this side.</summary>
    (long Reserved, long Used) Ring { get; }

    /// <summary>What is not as it was wanted, such as no room for shared memory; empty where all is well.</summary>
    string Problem { get; }

    /// <summary>A view of one network; disposing it leaves the connection open.</summary>
    /// <exception cref="RuntimeException">It does not serve it.</exception>
    ValueTask<IRuntime> OpenAsync(SidecarNetwork network, CancellationToken cancellationToken);

    /// <summary>The version of a network that it says it serves; null where it does not.</summary>
    string? VersionOf(SidecarNetwork network);

    /// <summary>A call has failed in a way that a dead sidecar would explain: finds out, at once.</summary>
    /// <returns>True where it is lost.</returns>
    ValueTask<bool> SuspectAsync(CancellationToken cancellationToken);
}

/// <summary>Why a connection ended.</summary>
/// <param name="Reason">For a person.</param>
/// <param name="Orderly">It was told to end and answered what it had.</param>
/// <param name="Hung">The other side is there and does not answer.</param>
internal sealed record ConnectionLoss(string Reason, bool Orderly = false, bool Hung = false);
