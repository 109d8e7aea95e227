using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage;

namespace Myelin.Jobs.Upkeep;

/// <summary>
/// The upkeep of jobs, in the one process that holds the storage's lease; the others wait for it to fall free. Each duty
/// has a loop and a cadence of its own, so that none delays another: not a bucket with a million blobs the recovery of a
/// lost lease. All of them end with the hold: when another process has it, or when it was not renewed in time. A round that
/// failed is logged and tried again at the next.
/// </summary>
internal sealed partial class Coordinator(
    ICoordinatorLease lease, LeaseRecovery recovery, QueueSweep queue, Retention retention, OrphanSweep orphans, JobInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<Coordinator> logger)
    : BackgroundService, IHostedLifecycleService
{
    private static readonly TimeSpan s_forget = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_sweep = TimeSpan.FromHours(1);

    /// <summary>Ends the duties of this hold.</summary>
    private CancellationTokenSource? _term;
    private Task _duties = Task.CompletedTask;
    private volatile bool _announced;

    /// <summary>Before any worker of this process starts, and where no other process can have one: every lease is an old one.</summary>
    public Task StartingAsync(CancellationToken cancellationToken) =>
        lease.IsAlone ? recovery.TakeBackAllAsync(cancellationToken) : Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await RepeatAsync("holding the lease", HoldAsync, options.Jobs.CoordinatorInterval, stoppingToken);
        }
        finally
        {
            await EndTermAsync();
            await ReleaseAsync();
        }
    }

    /// <summary>Keeps the hold and its duties going, begins a new term of them or ends the old one.</summary>
    private async Task HoldAsync(CancellationToken cancellationToken)
    {
        var hold = await lease.HoldAsync(cancellationToken);
        instruments.Coordinates(hold != CoordinatorHold.Elsewhere);
        if (hold == CoordinatorHold.Kept && _term is { IsCancellationRequested: false })
        {
            _term.CancelAfter(lease.Remaining);
            return;
        }

        await EndTermAsync();
        if (hold == CoordinatorHold.Taken)
        {
            LogTaken();
            _announced = false;
        }

        if (hold != CoordinatorHold.Elsewhere)
        {
            _term = new CancellationTokenSource(lease.Remaining, time);
            _duties = RunDutiesAsync(_term.Token);
        }
    }

    private Task RunDutiesAsync(CancellationToken term)
    {
        var interval = options.Jobs.CoordinatorInterval;
        return Task.WhenAll(
            Task.Run(() => RepeatAsync("recovery of leases and deadlines", recovery.RunAsync, recovery.Interval, term), CancellationToken.None),
            Task.Run(() => RepeatAsync("announcing queued jobs", AnnounceAsync, interval, term), CancellationToken.None),
            Task.Run(() => RepeatAsync("retention", retention.PurgeAsync, interval, term), CancellationToken.None),
            Task.Run(() => RepeatAsync("forgetting", retention.ForgetAsync, s_forget > interval ? s_forget : interval, term), CancellationToken.None),
            Task.Run(() => RepeatAsync("the sweep of blobs", orphans.SweepAsync, s_sweep, term), CancellationToken.None));
    }

    private async Task EndTermAsync()
    {
        if (_term is { } term)
        {
            await term.CancelAsync();
            await _duties;
            term.Dispose();
            _term = null;
        }
    }

    /// <summary>Everything once per take-over, because the bus may have forgotten it with the process before; then what nobody starts.</summary>
    private async Task AnnounceAsync(CancellationToken cancellationToken)
    {
        if (!_announced)
        {
            await queue.AnnounceAllAsync(cancellationToken);
            _announced = true;
        }

        await queue.RunAsync(cancellationToken);
    }

    /// <summary>Rounds until told to end. Of failures in a row the first is logged as an error.</summary>
    private async Task RepeatAsync(string duty, Func<CancellationToken, Task> round, TimeSpan interval, CancellationToken cancellationToken)
    {
        try
        {
            using var timer = new PeriodicTimer(interval, time);
            var failed = false;
            do
            {
                try
                {
                    await round(cancellationToken);
                    failed = false;
                }
                catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
                {
                    LogFailed(failed ? LogLevel.Debug : LogLevel.Error, duty, e);
                    failed = true;
                }
            }
            while (await timer.WaitForNextTickAsync(cancellationToken));
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Told to end.
        }
    }

    private async Task ReleaseAsync()
    {
        try
        {
            await lease.ReleaseAsync(CancellationToken.None);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            LogFailed(LogLevel.Error, "giving the lease back", e);
        }
    }

    [LoggerMessage(LogLevel.Information, "This process coordinates from now on")]
    private partial void LogTaken();

    [LoggerMessage("Upkeep: {Duty} failed; the next round tries again")]
    private partial void LogFailed(LogLevel level, string duty, Exception e);
}
