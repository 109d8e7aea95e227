using System.CommandLine;
using Myelin.Cli.Jobs;
using Myelin.Cli.Terminal;

namespace Myelin.Cli.Catalogue;

/// <summary>list, install.</summary>
internal static class CatalogueCommand
{
    public static Command Create()
    {
        var list = new Command("list", "Lists known public models with their licences");
        list.SetAction(Session.Action(ListAsync));
        var name = new Argument<string>("name") { Description = "The entry's name" };
        var install = new Command("install", "Installs a model: fetched, checked by its sha256, ready to run") { name };
        install.SetAction(Session.Action((session, cancellationToken) => InstallAsync(session, session.Arguments.GetValue(name)!, cancellationToken)));
        var command = new Command("catalogue", "Installs known public models")
        {
            list.WithExamples("myelin catalogue list", "myelin catalogue list --json | jq -r 'select(.installed|not).name'"),
            install.WithExamples("myelin catalogue install yolox-nano"),
        };
        command.SetAction(Session.Action(ListAsync));
        return command.WithExamples("myelin catalogue", "myelin catalogue install yolox-nano");
    }

    private static async Task<int> ListAsync(Session session, CancellationToken cancellationToken)
    {
        var entries = await session.Client.CatalogueAsync(cancellationToken);
        session.Output.List(entries, JsonContext.Default.CatalogueEntry, ["name", "task", "#size", "licence", "state", "description"], e =>
        [
            e.Name, e.Task, Readable.Bytes(e.Size), e.Licence ?? "", e.Installed ? "installed" : e.Verified ? "" : "unverified", e.Description ?? "",
        ]);
        return ExitCode.Ok;
    }

    private static async Task<int> InstallAsync(Session session, string name, CancellationToken cancellationToken)
    {
        var submitted = await session.Client.InstallAsync(name, cancellationToken);
        var job = await JobProgressDisplay.RunAsync(session.Output, bar =>
        {
            var show = bar(name);
            return JobFollower.FollowAsync(
                session.Client,
                submitted,
                (now, _) =>
                {
                    show(now);
                    return Task.CompletedTask;
                },
                cancelOnLeave: true,
                session.Output,
                cancellationToken);
        });
        if (session.Output.Json)
        {
            JobJson.Write(session.Output, job, file: null, saved: null);
        }
        else if (job.State == JobState.Succeeded)
        {
            session.Output.Line($"{name} is installed. See: myelin models show {name}");
        }

        return JobFailure.Report(job, name, session.Output);
    }
}
