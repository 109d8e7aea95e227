using Myelin.Cli.Terminal;

namespace Myelin.Cli.Jobs;

/// <summary>Stays with a job until its end; when the caller leaves, the job is cancelled on the server.</summary>
internal static class JobFollower
{
    private static readonly TimeSpan s_cancelPatience = TimeSpan.FromSeconds(5);

    /// <param name="changed">Hears every state and every step.</param>
    /// <param name="cancelOnLeave">False for one who only watches somebody's job.</param>
    public static async Task<Job> FollowAsync(
        MyelinClient client, Job job, Func<Job, CancellationToken, Task> changed, bool cancelOnLeave, Output output, CancellationToken cancellationToken)
    {
        try
        {
            await changed(job, cancellationToken);
            if (!job.State.IsEnd())
            {
                await foreach (var change in client.EventsAsync(job.Id, cancellationToken))
                {
                    await changed(change.Job, cancellationToken);
                }
            }

            return await client.GetAsync(job.Id, cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested && cancelOnLeave)
        {
            using var patience = new CancellationTokenSource(s_cancelPatience, TimeProvider.System);
            try
            {
                var after = await client.CancelAsync(job.Id, patience.Token);
                output.Note($"Interrupted: job {job.Id} is {(after.State.IsEnd() ? Name(after.State) : "being cancelled")}.");
            }
            catch (Exception e) when (e is MyelinException or MyelinUnreachableException or OperationCanceledException)
            {
                output.Note($"Interrupted, but job {job.Id} could not be cancelled ({e.Message}). Try: myelin jobs cancel {job.Id}");
            }

            throw;
        }
    }

    /// <summary>One line for a person: where the job stands.</summary>
    public static string Describe(Job job) => job switch
    {
        { State: JobState.Queued, Position: { } position } =>
            $"queued, {position} before it{(job.EtaSeconds is { } eta ? $", starts in {Readable.Duration(eta)}" : "")}",
        { State: JobState.Running, Progress: { Steps: > 1 } p } =>
            $"step {p.Step} of {p.Steps}{(p.SecondsPerStep is { } s ? $", {Readable.Duration(s * (p.Steps - p.Step))} left" : "")}",
        { State: JobState.Succeeded } => $"done in {Readable.Duration(((job.EndedAt - job.StartedAt) ?? TimeSpan.Zero).TotalSeconds)}",
        { Error: { } error } => $"{Name(job.State)}: {error.Detail ?? error.Title}",
        _ => Name(job.State),
    };

    public static string Name(JobState state) => state.ToString().ToLowerInvariant();
}
