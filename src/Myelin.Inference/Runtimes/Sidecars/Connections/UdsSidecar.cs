using Myelin.Inference.Runtimes.Uds;

namespace Myelin.Inference.Runtimes.Sidecars.Connections;

/// <summary>A sidecar over its Unix socket. The connection itself pings, and knows calls that hang.</summary>
internal sealed class UdsSidecar : ISidecarConnection
{
    private readonly UdsConnection _connection;
    private readonly TimeProvider _time;

    private UdsSidecar(UdsConnection connection, TimeProvider time)
    {
        (_connection, _time) = (connection, time);
        Lost = WatchAsync();
    }

    public string? Product => _connection.Product;

    public bool IsDraining => _connection.IsDraining;

    public Task<ConnectionLoss> Lost { get; }

    public (long Reserved, long Used) Ring => (_connection.Ring?.Layout.Bytes ?? 0, _connection.Arena?.UsedBytes ?? 0);

    public string Problem => _connection.RingProblem;

    public static async Task<UdsSidecar> ConnectAsync(UdsOptions options, TimeProvider time, CancellationToken cancellationToken) =>
        new(await UdsConnection.ConnectAsync(options, loading: null, time, firstCall: 1, cancellationToken).ConfigureAwait(false), time);

    public ValueTask<IRuntime> OpenAsync(SidecarNetwork network, CancellationToken cancellationToken) =>
        ValueTask.FromResult<IRuntime>(_connection.Open(Choose(network) ?? throw network.NotServed(_connection.Models.Select(model => model.Name))));

    public string? VersionOf(SidecarNetwork network) =>
        Choose(network) is { } name ? _connection.Models.First(model => model.Name == name).Version : null;

    /// <summary>Nothing to ask: a connection that is gone says so at once.</summary>
    public async ValueTask<bool> SuspectAsync(CancellationToken cancellationToken)
    {
        // A call hears of the end a moment before the connection itself has finished.
        await ((Task)Lost).WaitAsync(TimeSpan.FromSeconds(1), _time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return Lost.IsCompleted;
    }

    public ValueTask DisposeAsync() => _connection.DisposeAsync();

    private string? Choose(SidecarNetwork network) => network.Choose([.. _connection.Models.Select(model => (model.Name, model.Task))]);

    private async Task<ConnectionLoss> WatchAsync()
    {
        var loss = await _connection.Lost.ConfigureAwait(false);
        return new ConnectionLoss(
            loss.Message, Orderly: loss.Ending is UdsEnding.Drained or UdsEnding.Closed, Hung: loss.Ending is UdsEnding.NoPong or UdsEnding.Hung or UdsEnding.BadFrame);
    }
}
