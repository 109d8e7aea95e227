using System.Collections.Concurrent;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Jobs.Store.Postgres.Statements;

namespace Myelin.Jobs.Store.Postgres;

internal sealed partial class PostgresJobStore
{
    /// <summary>Claims and outcomes remembered whose fate is unknown.</summary>
    private const int UnknownLimit = 10_000;

    /// <summary>Tokens whose claim or outcome was sent and never answered: when it comes again it may be there already.</summary>
    private readonly ConcurrentDictionary<string, bool> _unknown = new(StringComparer.Ordinal);

    /// <summary>A job that changes between looks is looked at again this often.</summary>
    private const int CancelTries = 10;

    public async ValueTask<ClaimResult> ClaimAsync(string id, JobLease lease, DateTimeOffset now, CancellationToken cancellationToken) =>
        await RunAsync(new ClaimWrite(id, lease, now, cancellationToken), lease.Token, cancellationToken);

    public async ValueTask<HeartbeatResult> HeartbeatAsync(
        IReadOnlyCollection<(string Id, string Token)> leases, DateTimeOffset until, CancellationToken cancellationToken) =>
        await _writer.RunAsync(new HeartbeatWrite(leases, until, cancellationToken), cancellationToken);

    public async ValueTask<JobRecord?> ReturnAsync(JobRecord attempt, DateTimeOffset until, CancellationToken cancellationToken) =>
        await _writer.RunAsync(new ReturnWrite(attempt, until, cancellationToken), cancellationToken);

    public async ValueTask<bool> ProgressAsync(string id, string token, JobProgress progress, long eventId, CancellationToken cancellationToken) =>
        await _writer.RunAsync(new ProgressWrite(id, token, progress, eventId, cancellationToken), cancellationToken);

    public async ValueTask<JobRecord?> ApplyAsync(string id, string token, JobOutcome outcome, DateTimeOffset now, CancellationToken cancellationToken) =>
        await RunAsync(new EndWrite(id, EndGuard.Token, token, seen: null, fence: null, outcome, now, _retention, cancellationToken), token, cancellationToken);

    /// <summary>A write that comes again with its token after its answer was lost knows its own work.</summary>
    private async Task<T> RunAsync<T>(PostgresWrite<T> write, string token, CancellationToken cancellationToken)
    {
        write.Repeated = _unknown.TryRemove(token, out _);
        try
        {
            return await _writer.RunAsync(write, cancellationToken);
        }
        catch (StorageUnavailableException) when (_unknown.Count < UnknownLimit)
        {
            _unknown.TryAdd(token, true);
            throw;
        }
    }

    public async ValueTask<CancelResult> CancelAsync(string id, DateTimeOffset now, CancellationToken cancellationToken)
    {
        for (var i = 0; i < CancelTries; i++)
        {
            var write = new EndWrite(id, EndGuard.Queued, token: null, seen: null, fence: null, new JobOutcome(JobState.Cancelled), now, _retention, cancellationToken);
            if (await _writer.RunAsync(write, cancellationToken) is { } cancelled)
            {
                return new CancelResult(CancelStatus.Cancelled, cancelled);
            }

            if (await RequestCancelAsync(id, cancellationToken) is { } running)
            {
                return new CancelResult(CancelStatus.Requested, running);
            }

            switch (await GetAsync(id, cancellationToken))
            {
                case null:
                    return new CancelResult(CancelStatus.NotFound);
                case var job when job.State.IsEnd():
                    return new CancelResult(CancelStatus.AlreadyEnded, job);
            }
        }

        throw new StorageException($"job {id} changed its state at every look; nothing was cancelled", 0);
    }

    /// <summary>Asking twice does the same.</summary>
    private async Task<JobRecord?> RequestCancelAsync(string id, CancellationToken cancellationToken) =>
        (await ReadJobsAsync(
            $"UPDATE jobs SET cancel_requested = true WHERE id = $1 AND state = 1 RETURNING {JobColumns.Names}", p => p.AddText(id), cancellationToken)
            ).FirstOrDefault();
}
