using System.Text.Json;
using Myelin.Cli.Jobs;

namespace Myelin.Cli.Pictures;

/// <summary>
/// Sends pictures, a few at a time, and prints their results in the order of the arguments as soon as each is due. One
/// that fails does not stop the others.
/// </summary>
internal sealed class PictureRun(Session session, Model model, JsonElement? parameters, JobPriority priority, OutputTarget? target)
{
    /// <summary>Jobs on their way at once: enough to keep a server busy, few enough to be a good neighbour.</summary>
    private const int Concurrency = 4;

    public async Task<int> RunAsync(IReadOnlyList<InputFile> files, CancellationToken cancellationToken)
    {
        var results = await JobProgressDisplay.RunAsync(session.Output, async bar =>
        {
            using var permits = new SemaphoreSlim(Concurrency);
            return await Task.WhenAll(files.Select(async file =>
            {
                await permits.WaitAsync(cancellationToken);
                try
                {
                    return await OneAsync(file, bar(file.Name), cancellationToken);
                }
                finally
                {
                    permits.Release();
                }
            }));
        });

        var code = ExitCode.Ok;
        foreach (var result in results)
        {
            var one = Print(result, files.Count > 1);
            code = code == ExitCode.Ok ? one : code;
        }

        return code;
    }

    /// <summary>Submits and prints the ids, one a line.</summary>
    public async Task<int> DetachAsync(IReadOnlyList<InputFile> files, CancellationToken cancellationToken)
    {
        foreach (var file in files)
        {
            var job = await SubmitAsync(file, cancellationToken);
            if (session.Output.Json)
            {
                JobJson.Write(session.Output, job, file.Name, saved: null);
            }
            else
            {
                session.Output.Line(job.Id);
            }
        }

        return ExitCode.Ok;
    }

    private async Task<Outcome> OneAsync(InputFile file, Action<Job> bar, CancellationToken cancellationToken)
    {
        try
        {
            var job = await SubmitAsync(file, cancellationToken);
            job = await JobFollower.FollowAsync(
                session.Client,
                job,
                (now, _) =>
                {
                    bar(now);
                    return Task.CompletedTask;
                },
                cancelOnLeave: true,
                session.Output,
                cancellationToken);
            string? saved = null;
            if (target is not null && job.State == JobState.Succeeded && ArtifactSaver.Picture(job) is { } picture)
            {
                saved = target.For(file, picture);
                await ArtifactSaver.SaveAsync(session.Client, picture, saved, cancellationToken);
            }

            return new(file, job, saved, null);
        }
        catch (MyelinException e)
        {
            return new(file, null, null, e);
        }
    }

    private async Task<Job> SubmitAsync(InputFile file, CancellationToken cancellationToken)
    {
        var content = file.Open();
        await using (content)
        {
            return await session.Client.SubmitAsync(
                new JobSubmission(model.Name)
                {
                    Files = [new(InputName(), content, file.ContentType, Path.GetFileName(file.Name))],
                    Parameters = parameters,
                    Priority = priority,
                },
                cancellationToken);
        }
    }

    private string InputName() =>
        (model.Inputs.FirstOrDefault(i => i.Kind == "image") ?? throw new UsageException($"{model.Name} takes no picture.")).Name;

    private int Print(Outcome outcome, bool several)
    {
        if (outcome.Job is not { } job)
        {
            session.Output.Fail($"{outcome.File.Name}: {outcome.Error!.Message}", ExitCode.Usage);
            return (int)outcome.Error.Status < 500 ? ExitCode.Usage : ExitCode.JobFailed;
        }

        if (session.Output.Json)
        {
            JobJson.Write(session.Output, job, outcome.File.Name, outcome.Saved);
        }

        if (job.State == JobState.Succeeded && !session.Output.Json && target is not { Path: "-" })
        {
            Findings.Print(session.Output, several ? outcome.File.Name : null, job);
        }

        if (outcome.Saved is not (null or "-"))
        {
            session.Output.Note($"{outcome.File.Name} → {outcome.Saved}");
        }
        else if (target is not null && job.State == JobState.Succeeded && outcome.Saved is null)
        {
            session.Output.Note($"{outcome.File.Name}: {model.Name} gives no picture, so -o wrote nothing.");
        }

        return JobFailure.Report(job, outcome.File.Name, session.Output);
    }

    /// <param name="Job">Null when it was not accepted; <paramref name="Error"/> says why.</param>
    private sealed record Outcome(InputFile File, Job? Job, string? Saved, MyelinException? Error);
}
