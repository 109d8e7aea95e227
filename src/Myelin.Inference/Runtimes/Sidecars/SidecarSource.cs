namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>The networks of one model's sidecars. Owner: the loaded task; disposing lets the calls end and then the processes.</summary>
internal sealed class SidecarSource(SidecarPool pool, Action<SidecarPool> gone) : IRuntimeSource, IRuntimeHealth
{
    private int _disposed;

    public string? DeclaredTask { get; } = pool.TryChoose(null)?.Find(pool.Networks[0])?.Capabilities.Task;

    public bool ComputesHere => false;

    public IReadOnlyList<Models.ModelError> Broken => pool.State == SidecarState.Broken ? pool.Errors() : [];

    public async ValueTask<IRuntime> OpenAsync(string file, CancellationToken cancellationToken)
    {
        var network = DeclaredTask is null ? pool.Network(file) : pool.Networks[0];
        var session = await pool.EnterAsync(null, null, cancellationToken).ConfigureAwait(false);
        try
        {
            return new SidecarRuntime(pool, network, await session.RuntimeAsync(network, cancellationToken).ConfigureAwait(false));
        }
        finally
        {
            session.Leave();
        }
    }

    /// <summary>Only the sidecar knows; opening it says.</summary>
    public bool Has(string file) => true;

    public long Bytes(string file) => 0;

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            await pool.DisposeAsync().ConfigureAwait(false);
            gone(pool);
        }
    }
}
