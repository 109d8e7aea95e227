using Myelin.Server.Jobs;
using Myelin.Server.Storage.Postgres.Statements;

namespace Myelin.Server.Storage.Postgres;

internal sealed partial class PostgresJobStore
{
    /// <summary>A job that changes between looks is looked at again this often.</summary>
    private const int CancelTries = 10;

    public async ValueTask<ClaimResult> ClaimAsync(string id, JobLease lease, DateTimeOffset now, CancellationToken cancellationToken) =>
        await _writer.RunAsync(new ClaimWrite(id, lease, now, cancellationToken), cancellationToken).ConfigureAwait(false);

    public async ValueTask<HeartbeatResult> HeartbeatAsync(
        IReadOnlyCollection<(string Id, string Token)> leases, DateTimeOffset until, CancellationToken cancellationToken) =>
        await _writer.RunAsync(new HeartbeatWrite(leases, until, cancellationToken), cancellationToken).ConfigureAwait(false);

    public async ValueTask<bool> ProgressAsync(string id, string token, JobProgress progress, long eventId, CancellationToken cancellationToken) =>
        await _writer.RunAsync(new ProgressWrite(id, token, progress, eventId, cancellationToken), cancellationToken).ConfigureAwait(false);

    public async ValueTask<JobRecord?> ApplyAsync(string id, string token, JobOutcome outcome, DateTimeOffset now, CancellationToken cancellationToken) =>
        await EndAsync(id, EndGuard.Token, token, outcome, now, cancellationToken).ConfigureAwait(false);

    public async ValueTask<CancelResult> CancelAsync(string id, DateTimeOffset now, DateTimeOffset expiresAt, CancellationToken cancellationToken)
    {
        for (var i = 0; i < CancelTries; i++)
        {
            var outcome = new JobOutcome(JobState.Cancelled) { ExpiresAt = expiresAt };
            if (await EndAsync(id, EndGuard.Queued, token: null, outcome, now, cancellationToken).ConfigureAwait(false) is { } cancelled)
            {
                return new CancelResult(CancelStatus.Cancelled, cancelled);
            }

            if (await RequestCancelAsync(id, cancellationToken).ConfigureAwait(false) is { } running)
            {
                return new CancelResult(CancelStatus.Requested, running);
            }

            switch (await GetAsync(id, cancellationToken).ConfigureAwait(false))
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
            .ConfigureAwait(false)).FirstOrDefault();

    private Task<JobRecord?> EndAsync(
        string id, EndGuard guard, string? token, JobOutcome outcome, DateTimeOffset now, CancellationToken cancellationToken) =>
        _writer.RunAsync(new EndWrite(id, guard, token, before: null, fence: null, outcome, now, cancellationToken), cancellationToken);
}
