using System.Globalization;
using System.Threading.Channels;
using Myelin.Hosting.Bus;
using Myelin.Inference.Tasks;
using Myelin.Jobs.Store;

namespace Myelin.Jobs.Attempts;

/// <summary>
/// Carries a task's progress to the bus as it comes (the newest wins while the bus is busy) and to Storage at most once
/// a second. The task's thread never waits.
/// </summary>
internal sealed partial class ProgressReporter : IProgress<TaskProgress>, IAsyncDisposable
{
    private static readonly TimeSpan s_storeEvery = TimeSpan.FromSeconds(1);

    private readonly Channel<TaskProgress> _newest = Channel.CreateBounded<TaskProgress>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });

    private readonly RunningJob _running;
    private readonly IBus _bus;
    private readonly IJobStore _store;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Task _loop;
    private string? _preview;

    private JobRecord Job => _running.Record!;

    public ProgressReporter(RunningJob job, IBus bus, IJobStore store, TimeProvider time, ILogger logger)
    {
        (_running, _bus, _store, _time, _logger) = (job, bus, store, time, logger);
        _loop = LoopAsync();
    }

    /// <summary>Takes note and returns at once; nothing once the attempt was told to stop.</summary>
    public void Report(TaskProgress value)
    {
        if (!_running.Stopping.IsCancellationRequested)
        {
            _newest.Writer.TryWrite(value);
        }
    }

    /// <summary>Sends what was reported last, then ends.</summary>
    public async ValueTask DisposeAsync()
    {
        _newest.Writer.TryComplete();
        await _loop;
    }

    private async Task LoopAsync()
    {
        var count = 0L;
        var storedAt = _time.GetTimestamp();
        await foreach (var reported in _newest.Reader.ReadAllAsync())
        {
            try
            {
                // An attempt that came back goes on counting above what was said of it meanwhile.
                count = Math.Max(count, Job.EventId - EventIds.Claimed(Job.Attempt)) + 1;
                var eventId = EventIds.Progress(Job.Attempt, count);
                var progress = await PublishAsync(reported, eventId);
                if (_time.GetElapsedTime(storedAt) >= s_storeEvery)
                {
                    storedAt = _time.GetTimestamp();
                    await _store.ProgressAsync(Job.Id, _running.LeaseToken, progress, eventId, CancellationToken.None);
                }
            }
            catch (Exception e)
            {
                // Progress is a courtesy: its loss must not harm the job.
                LogLost(_logger, Job.Id, e);
            }
        }
    }

    private async ValueTask<JobProgress> PublishAsync(TaskProgress reported, long eventId)
    {
        if (reported.Preview is { } jpeg)
        {
            // A new address for each picture, and the last one until then: watchers that miss an event miss no picture.
            _preview = string.Create(CultureInfo.InvariantCulture, $"/v1/jobs/{Job.Id}/preview?step={reported.Step}");
            await _bus.PublishPreviewAsync(Job.Id, jpeg, CancellationToken.None);
        }

        var fraction = reported.Steps > 0 ? Math.Clamp((double)reported.Step / reported.Steps, 0, 1) : 0;
        var progress = new JobProgress(reported.Step, reported.Steps, fraction, reported.SecondsPerStep, _preview);
        await _bus.PublishSignalAsync(JobSignal.OfProgress(Job, eventId, progress), CancellationToken.None);
        return progress;
    }

    [LoggerMessage(LogLevel.Debug, "Progress of job {Job} was lost")]
    private static partial void LogLost(ILogger logger, string job, Exception e);
}
