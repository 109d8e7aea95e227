using Microsoft.Extensions.Logging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Sidecars.Connections;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>A sidecar that somebody else runs. One that is lost gets no calls and is tried again for ever, ever more slowly.</summary>
internal sealed partial class RemoteEndpoint(
    ModelDefinition definition, SidecarAddress address, Func<IReadOnlyList<SidecarNetwork>> networks, SidecarOptions options, TimeProvider time, ILogger logger, Action changed)
    : SidecarEndpoint(definition, changed)
{
    private int _failures;

    public override string Address => address.ToString();

    protected override async Task RunAsync()
    {
        while (true)
        {
            Stop.ThrowIfCancellationRequested();
            try
            {
                await ServeAsync().ConfigureAwait(false);
            }
            catch (Exception fault) when (!Stop.IsCancellationRequested)
            {
                // A RuntimeException where all is foreseen; whatever else it is, the next try may do better.
                LogUnreachable(logger, Definition.Name, Address, fault.Message);
                Become(SidecarState.Restarting, fault.Message, settled: true);
            }

            await Task.Delay(Backoff.After(options.RestartDelay, ++_failures, options.MaxRestartDelay), time, Stop).ConfigureAwait(false);
            CountRestart();
        }
    }

    private async Task ServeAsync()
    {
        // Between containers both see the socket's folder, and nothing else for certain.
        var ringFolder = address.Path is { } path ? Path.GetDirectoryName(path)! : "/dev/shm";
        var connection = await SidecarConnector.ConnectAsync(address, Definition, networks(), options, Sidecar.StartTimeout, ringFolder, owner: null, time, Stop).ConfigureAwait(false);
        await using var _ = connection.ConfigureAwait(false);
        var session = await SidecarSession.OpenAsync(this, connection, networks(), Stop).ConfigureAwait(false);
        _failures = 0;
        LogReady(logger, Definition.Name, Address, connection.Product ?? "unnamed", connection.Problem);
        BecomeReady(session);
        try
        {
            var loss = await connection.Lost.WaitAsync(Stop).ConfigureAwait(false);
            Unpublish(session, SidecarState.Restarting, loss.Reason);
            session.End(loss.Reason);
            LogLost(logger, Definition.Name, Address, loss.Reason);
        }
        catch (OperationCanceledException) when (Stop.IsCancellationRequested)
        {
            Unpublish(session, SidecarState.Stopping, null);
            await session.RetireAsync().WaitAsync(Sidecar.StopTimeout, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        Ended(session);
    }

    [LoggerMessage(LogLevel.Information, "sidecar of {Model} at {Address} is ready: {Product} {Problem}")]
    private static partial void LogReady(ILogger logger, string model, string address, string product, string problem);

    [LoggerMessage(LogLevel.Warning, "sidecar of {Model} at {Address} is lost: {Reason}")]
    private static partial void LogLost(ILogger logger, string model, string address, string reason);

    [LoggerMessage(LogLevel.Warning, "sidecar of {Model} at {Address} cannot be used: {Reason}")]
    private static partial void LogUnreachable(ILogger logger, string model, string address, string reason);
}
