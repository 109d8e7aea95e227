using System.CommandLine;
using Myelin.Cli.Terminal;

namespace Myelin.Cli.Jobs;

/// <summary>list, show, watch, cancel, result, fetch.</summary>
internal static class JobsCommand
{
    public static Command Create()
    {
        var list = List();
        var command = new Command("jobs", "Lists, watches, cancels jobs and fetches their results")
        {
            list,
            WithId("show", "Shows one job", ShowAsync).WithExamples("myelin jobs show 01JD…", "myelin jobs show 01JD… --json | jq .error"),
            WithId("watch", "Follows a job to its end; Ctrl-C leaves it running", WatchAsync).WithExamples("myelin jobs watch 01JD…"),
            WithId("cancel", "Cancels a job", CancelAsync).WithExamples("myelin jobs cancel 01JD…"),
            WithId("result", "Prints a job's result as JSON; waits for it", ResultAsync).WithExamples("myelin jobs result 01JD… | jq .detections"),
            Fetch(),
        };
        command.Action = list.Action;
        return command.WithExamples(
            "myelin jobs list --state running",
            "myelin jobs watch 01JD…",
            "myelin jobs fetch 01JD… -o results/");
    }

    private static Command List()
    {
        var model = new Option<string>("--model", "-m") { Description = "Only jobs of this model", HelpName = "name" };
        var state = new Option<JobState?>("--state", "-s") { Description = "queued, running, succeeded, failed, cancelled or expired", HelpName = "state" };
        var limit = new Option<int>("--limit", "-n") { Description = "How many, newest first", DefaultValueFactory = _ => 20, HelpName = "count" };
        var command = new Command("list", "Lists jobs, newest first") { model, state, limit };
        command.SetAction(Session.Action(async (session, cancellationToken) =>
        {
            var query = new JobQuery { Model = session.Arguments.GetValue(model), State = session.Arguments.GetValue(state) };
            var jobs = await session.Client.ListAsync(query, cancellationToken)
                .Take(session.Arguments.GetValue(limit)).ToListAsync(cancellationToken);
            if (session.Output.Json)
            {
                jobs.ForEach(job => JobJson.Write(session.Output, job, file: null, saved: null));
                return ExitCode.Ok;
            }

            var now = TimeProvider.System.GetUtcNow();
            session.Output.Table(["id", "model", "state", "submitted", "progress"], jobs.Select(job => new[]
            {
                job.Id, job.Model, JobFollower.Name(job.State), Readable.Ago(job.CreatedAt, now), JobFollower.Describe(job),
            }));
            return ExitCode.Ok;
        }));
        return command.WithExamples("myelin jobs list", "myelin jobs list --model faces --state failed -n 100 --json");
    }

    private static Command Fetch()
    {
        var id = Id();
        var name = new Argument<string?>("artifact") { Description = "Only this one; default: all", Arity = ArgumentArity.ZeroOrOne };
        var folder = new Option<string>("--output", "-o") { Description = "Folder, or with one artifact a file, or -", DefaultValueFactory = _ => "./", HelpName = "path" };
        var command = new Command("fetch", "Downloads a job's artifacts; waits for its end") { id, name, folder };
        command.SetAction(Session.Action(async (session, cancellationToken) =>
        {
            var job = await session.Client.WaitAsync(session.Arguments.GetValue(id)!, cancellationToken);
            var wanted = session.Arguments.GetValue(name);
            var artifacts = job.Artifacts.Where(a => wanted is null || a.Name == wanted).ToList();
            if (wanted is not null && artifacts.Count == 0)
            {
                throw new UsageException($"The job has no artifact {wanted}. It has: {string.Join(", ", job.Artifacts.Select(a => a.Name))}.");
            }

            var target = session.Arguments.GetValue(folder)!;
            foreach (var artifact in artifacts)
            {
                var path = wanted is not null && target != "-" && !target.EndsWith('/') && !Directory.Exists(target)
                    ? target
                    : target == "-" ? "-" : Path.Combine(target, Path.GetFileName(artifact.Name));
                await ArtifactSaver.SaveAsync(session.Client, artifact, path, cancellationToken);
                if (path != "-")
                {
                    session.Output.Line(path);
                }
            }

            return JobFailure.Report(job, "", session.Output);
        }));
        return command.WithExamples("myelin jobs fetch 01JD… -o results/", "myelin jobs fetch 01JD… annotated.jpg -o - > found.jpg");
    }

    private static async Task<int> ShowAsync(Session session, string id, CancellationToken cancellationToken)
    {
        var job = await session.Client.GetAsync(id, cancellationToken);
        if (session.Output.Json)
        {
            JobJson.Write(session.Output, job, file: null, saved: null);
        }
        else
        {
            session.Output.Table(["", ""], JobDetails.Rows(job));
        }

        return ExitCode.Ok;
    }

    private static async Task<int> WatchAsync(Session session, string id, CancellationToken cancellationToken)
    {
        var job = await session.Client.GetAsync(id, cancellationToken);
        job = await JobProgressDisplay.RunAsync(session.Output, bar =>
        {
            var show = bar($"{job.Model} {job.Id}");
            return JobFollower.FollowAsync(
                session.Client,
                job,
                (now, _) =>
                {
                    show(now);
                    if (session.Output.Json)
                    {
                        JobJson.Write(session.Output, now, file: null, saved: null);
                    }

                    return Task.CompletedTask;
                },
                cancelOnLeave: false,
                session.Output,
                cancellationToken);
        });
        if (!session.Output.Json)
        {
            session.Output.Line($"{job.Id} {JobFollower.Describe(job)}");
        }

        return job.State == JobState.Succeeded ? ExitCode.Ok : ExitCode.JobFailed;
    }

    private static async Task<int> CancelAsync(Session session, string id, CancellationToken cancellationToken)
    {
        var job = await session.Client.CancelAsync(id, cancellationToken);
        if (session.Output.Json)
        {
            JobJson.Write(session.Output, job, file: null, saved: null);
            return ExitCode.Ok;
        }

        session.Output.Line(job.State switch
        {
            JobState.Cancelled => $"{job.Id} is cancelled.",
            JobState.Running => $"{job.Id} is being cancelled.",
            _ => $"{job.Id} had already ended: {JobFollower.Name(job.State)}.",
        });
        return ExitCode.Ok;
    }

    private static async Task<int> ResultAsync(Session session, string id, CancellationToken cancellationToken)
    {
        var job = await session.Client.WaitAsync(id, cancellationToken);
        if (job.Result is { } result)
        {
            session.Output.Write(result, JsonContext.Default.JsonElement);
        }

        return JobFailure.Report(job, "", session.Output);
    }

    private static Command WithId(string name, string description, Func<Session, string, CancellationToken, Task<int>> body)
    {
        var id = Id();
        var command = new Command(name, description) { id };
        command.SetAction(Session.Action((session, cancellationToken) => body(session, session.Arguments.GetValue(id)!, cancellationToken)));
        return command;
    }

    private static Argument<string> Id() => new("id") { Description = "The job's id" };
}
