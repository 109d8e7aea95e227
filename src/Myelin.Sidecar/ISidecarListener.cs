namespace Myelin.Sidecar;

/// <summary>One address at which a sidecar is reached. It listens before the models are loaded, and says so to those who ask.</summary>
internal interface ISidecarListener : IAsyncDisposable
{
    /// <summary>Binds the address; callers are greeted and told to wait.</summary>
    /// <exception cref="IOException">The address is taken or not allowed.</exception>
    ValueTask StartAsync(CancellationToken cancellationToken);

    /// <summary>The models can be called from now on.</summary>
    void Ready(IReadOnlyList<ServedModel> models);

    /// <summary>Loading failed: those who wait are told why.</summary>
    ValueTask FailAsync(string message, CancellationToken cancellationToken);

    /// <summary>Takes no new calls and returns when every answer has been delivered.</summary>
    ValueTask DrainAsync(CancellationToken cancellationToken);
}
