using System.ComponentModel;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Sidecars.Connections;
using Myelin.Inference.Runtimes.Sidecars.Processes;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>
/// A sidecar that is started here: start, wait until ready, serve, and again after a crash, ever more slowly, until it
/// has crashed too often. A process that hangs is killed.
/// </summary>
internal sealed partial class LocalEndpoint(
    ModelDefinition definition, Func<IReadOnlyList<SidecarNetwork>> networks, SidecarHouse house, ILogger logger, Action changed)
    : SidecarEndpoint(definition, changed)
{
    /// <summary>From the end of a process to the end of its connection: what it sent last is still read.</summary>
    private static readonly TimeSpan s_lastWords = TimeSpan.FromSeconds(1);

    /// <summary>Of the single steps: the whole start is timed here, and the process's end is noticed.</summary>
    private TimeSpan Timeout => Sidecar.StartTimeout + TimeSpan.FromMinutes(1);

    private readonly CrashWindow _window = new(house.Options, house.Time);
    private readonly ProcessLog _log = new(definition.Name, house.Options, house.Time, logger);
    private SidecarAddress? _address;
    private string? _impossible;
    private (uint User, uint Group)? _owner;
    private volatile SidecarProcess? _process;

    public override string Address => _address?.ToString() ?? "";

    public override int? Pid => _process?.Pid;

    public override string? Limits => _process?.Limits;

    protected override async Task RunAsync()
    {
        while (true)
        {
            Stop.ThrowIfCancellationRequested();
            var end = await TryLiveAsync().ConfigureAwait(false);
            Stop.ThrowIfCancellationRequested();
            TimeSpan? pause = end.Kind switch
            {
                EndKind.Orderly => TimeSpan.Zero,
                EndKind.Crashed => _window.Crashed(end.Lived),
                EndKind.NotReady => _window.StartFailed(),
                EndKind.Shortage => house.Options.MaxRestartDelay,
                _ => null,
            };
            var log = end.Kind is EndKind.Impossible or EndKind.Shortage || _log.Tail is not { Count: > 0 } tail ? null : string.Join('\n', tail);
            if (pause is not { } wait)
            {
                LogGivenUp(logger, Definition.Name, end.Reason);
                Become(SidecarState.Broken, end.Kind == EndKind.Impossible ? end.Reason : $"given up after {house.Options.MaxCrashes} failures: {end.Reason}", settled: true, log);
                return;
            }

            LogRestarting(logger, Definition.Name, end.Reason, wait.TotalSeconds);

            // A shortage may last: who waits for the first start hears of it, and comes again later.
            Become(SidecarState.Restarting, end.Reason, settled: end.Kind == EndKind.Shortage, log);
            await Task.Delay(wait, house.Time, Stop).ConfigureAwait(false);
            CountRestart();
        }
    }

    /// <summary>Whatever one life ends with, the next one is decided on by <see cref="RunAsync"/>.</summary>
    private async Task<End> TryLiveAsync()
    {
        try
        {
            return await LiveAsync().ConfigureAwait(false);
        }
        catch (Exception fault) when (!Stop.IsCancellationRequested)
        {
            LogFault(logger, Definition.Name, fault);
            return Failed(fault);
        }
    }

    /// <summary>What the whole machine lacks, such as space on the disk, is no fault of the model's: it is tried without end.</summary>
    private static End Failed(Exception fault) => new(Shortage.Is(fault) ? EndKind.Shortage : EndKind.NotReady, $"could not be started: {fault.Message}");

    private async Task<End> LiveAsync()
    {
        if (Prepare() is not { } start)
        {
            return new End(EndKind.Impossible, _impossible!);
        }

        SidecarProcess process;
        try
        {
            process = SidecarProcess.Start(start, house.Watchdog, _log);
        }
        catch (Exception fault)
        {
            RunFolder.Forget(start.Folder);
            if (fault is Win32Exception or IOException)
            {
                return Failed(fault);
            }

            throw;
        }

        _process = process;
        try
        {
            LogStarted(logger, Definition.Name, process.Pid, Address, process.Limits ?? "no limits");
            if (process.NotHeld is { } limits)
            {
                LogNotHeld(logger, Definition.Name, limits);
            }

            return await ServeAsync(process).ConfigureAwait(false);
        }
        finally
        {
            _process = null;
            await process.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task<End> ServeAsync(SidecarProcess process)
    {
        var began = house.Time.GetTimestamp();
        ISidecarConnection connection;
        SidecarSession session;
        try
        {
            (connection, session) = await ConnectAsync(process).ConfigureAwait(false);
        }
        catch (RuntimeException fault)
        {
            await process.Exited.WaitAsync(s_lastWords, house.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            var ending = process.Exited.IsCompleted ? $"{fault.Message}; it {process.Ending()}" : fault.Message;
            return new End(EndKind.NotReady, ending);
        }

        await using (connection.ConfigureAwait(false))
        {
            LogReady(logger, Definition.Name, process.Pid, house.Time.GetElapsedTime(began).TotalSeconds, connection.Product ?? "unnamed", connection.Problem);
            BecomeReady(session);
            var ready = house.Time.GetTimestamp();
            await Task.WhenAny(process.Exited, connection.Lost, session.Overrun, Task.Delay(System.Threading.Timeout.InfiniteTimeSpan, house.Time, Stop)).ConfigureAwait(false);
            var end = Stop.IsCancellationRequested
                ? await LeaveAsync(process, session).ConfigureAwait(false)
                : await EndAsync(process, connection, session).ConfigureAwait(false);
            Ended(session);
            session.End(_log.Tail.Count > 0 ? $"{end.Reason}; its last words are in the worker's log" : end.Reason);
            return end with { Lived = house.Time.GetElapsedTime(ready) };
        }
    }

    private async Task<(ISidecarConnection Connection, SidecarSession Session)> ConnectAsync(SidecarProcess process)
    {
        using var late = new CancellationTokenSource(Sidecar.StartTimeout, house.Time);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(late.Token, Stop);
        var connecting = SidecarConnector.ConnectAsync(_address!, Definition, networks(), house.Options, Timeout, "/dev/shm", _owner, house.Time, patience.Token);
        try
        {
            if (await Task.WhenAny(connecting, process.Exited).ConfigureAwait(false) != connecting)
            {
                // It may have said why before it went: the connection's own error is the better one.
                await ((Task)connecting).WaitAsync(s_lastWords, house.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                await patience.CancelAsync().ConfigureAwait(false);
            }

            var connection = await connecting.ConfigureAwait(false);
            return (connection, await SidecarSession.OpenAsync(this, connection, networks(), patience.Token).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (!Stop.IsCancellationRequested)
        {
            throw new RuntimeException(
                process.Exited.IsCompleted ? "its process ended before it was ready" : $"was not ready within {Sidecar.StartTimeout.TotalSeconds:0.#} s (sidecar.startTimeout)", retryable: true);
        }
    }

    /// <summary>It ended by itself, or must be ended.</summary>
    private async Task<End> EndAsync(SidecarProcess process, ISidecarConnection connection, SidecarSession session)
    {
        if (process.Exited.IsCompleted)
        {
            await ((Task)connection.Lost).WaitAsync(s_lastWords, house.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        Unpublish(session, SidecarState.Restarting, null);
        var loss = connection.Lost.IsCompleted ? await connection.Lost.ConfigureAwait(false) : new ConnectionLoss("");
        if (loss.Orderly)
        {
            await process.StopAsync().ConfigureAwait(false);
            return new End(EndKind.Orderly, "was told to end by somebody else");
        }

        if (session.Overrun.IsCompleted && !process.Exited.IsCompleted && !connection.Lost.IsCompleted)
        {
            await session.RetireAsync().WaitAsync(Sidecar.StopTimeout, house.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await process.KillAsync().ConfigureAwait(false);
            return new End(EndKind.Crashed, "took longer for a call than it may (sidecar.callTimeout); its process was killed");
        }

        if (!loss.Hung)
        {
            await process.Exited.WaitAsync(s_lastWords, house.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        var alone = process.Exited.IsCompleted;
        await process.KillAsync().ConfigureAwait(false);
        return new End(EndKind.Crashed, alone ? $"its process {process.Ending()}" : $"{loss.Reason}; its process was killed");
    }

    private async Task<End> LeaveAsync(SidecarProcess process, SidecarSession session)
    {
        Unpublish(session, SidecarState.Stopping, null);
        await session.RetireAsync().WaitAsync(Sidecar.StopTimeout, house.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await session.Connection.DisposeAsync().ConfigureAwait(false);
        await process.StopAsync().ConfigureAwait(false);
        LogStopped(logger, Definition.Name, process.Pid);
        return new End(EndKind.Orderly, "");
    }

    /// <returns>Null where it can never be started; <see cref="_impossible"/> then says why.</returns>
    private SidecarStart? Prepare()
    {
        var user = Sidecar.User is { } name ? SystemUser.Find(name) : null;
        var program = Launch.Locate(Sidecar.Command[0], Definition.ModelFolder);
        _impossible = (Sidecar.User, user) switch
        {
            (not null, null) => $"sidecar.user is '{Sidecar.User}', whom this machine does not know",
            (not null, _) when !Launch.CanChangeUser => "sidecar.user needs a worker that runs as root, and the program setpriv (Debian: util-linux)",
            _ when program is null => $"there is no program '{Sidecar.Command[0]}'; install it, or write its path (within the model's folder: ./{Path.GetFileName(Sidecar.Command[0])})",
            _ => null,
        };
        if (_impossible is not null)
        {
            return null;
        }

        _owner = user is null ? null : (user.Id, user.Group);
        var port = SidecarEnvironment.WantsPort(Sidecar) ? FreePort() : (int?)null; // may fail: before there is a folder
        var folder = house.Run.Make(user);
        _address = Listen(folder, port);
        return new SidecarStart
        {
            Model = Definition.Name,
            Command = [program!, .. Sidecar.Command.Skip(1).Select(argument => SidecarEnvironment.Fill(argument, Definition, _address))],
            WorkingFolder = Definition.ModelFolder,
            Environment = SidecarEnvironment.Of(Definition, _address, user),
            Folder = folder,
            Memory = Sidecar.Memory,
            Cpus = Sidecar.Cpus,
            User = user,
            StopTimeout = Sidecar.StopTimeout,
            Time = house.Time,
        };
    }

    private SidecarAddress Listen(string folder, int? port) => port is { } free
        ? new SidecarAddress(SidecarTransport.Http, null, new Uri(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{free}")))
        : new SidecarAddress(Sidecar.Transport == "http" ? SidecarTransport.Http : SidecarTransport.Uds, Path.Combine(folder, "s"), null);

    /// <summary>Free now; if another takes it first the start fails, and the next one gets another.</summary>
    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }

    private enum EndKind
    {
        Orderly,
        Crashed,
        NotReady,

        /// <summary>The machine had no space, memory or handles left.</summary>
        Shortage,
        Impossible,
    }

    private sealed record End(EndKind Kind, string Reason, TimeSpan Lived = default);

    [LoggerMessage(LogLevel.Information, "sidecar of {Model} started as process {Pid}, listens on {Address}, {Limits}")]
    private static partial void LogStarted(ILogger logger, string model, int pid, string address, string limits);

    [LoggerMessage(LogLevel.Warning, "sidecar of {Model}: nobody holds {Limits} here; that takes control groups that this process may write (docs/sidecars.md, Limits)")]
    private static partial void LogNotHeld(ILogger logger, string model, string limits);

    [LoggerMessage(LogLevel.Information, "sidecar of {Model} (process {Pid}) is ready after {Seconds:0.00} s: {Product} {Problem}")]
    private static partial void LogReady(ILogger logger, string model, int pid, double seconds, string product, string problem);

    [LoggerMessage(LogLevel.Error, "sidecar of {Model}: supervising it failed")]
    private static partial void LogFault(ILogger logger, string model, Exception fault);

    [LoggerMessage(LogLevel.Warning, "sidecar of {Model} {Reason}; next start in {Seconds:0.0} s")]
    private static partial void LogRestarting(ILogger logger, string model, string reason, double seconds);

    [LoggerMessage(LogLevel.Error, "sidecar of {Model} is given up: {Reason}")]
    private static partial void LogGivenUp(ILogger logger, string model, string reason);

    [LoggerMessage(LogLevel.Information, "sidecar of {Model} (process {Pid}) has ended")]
    private static partial void LogStopped(ILogger logger, string model, int pid);
}
