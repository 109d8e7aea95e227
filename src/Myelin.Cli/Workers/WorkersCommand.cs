using System.CommandLine;
using System.Globalization;

namespace Myelin.Cli.Workers;

/// <summary>Who runs the jobs.</summary>
internal static class WorkersCommand
{
    public static Command Create()
    {
        var command = new Command("workers", "Lists the workers that registered: where they are, what they have, whether they live");
        command.SetAction(Session.Action(ListAsync));
        return command.WithExamples("myelin workers", "myelin workers --json | jq -r 'select(.state == \"silent\") | .host'");
    }

    private static async Task<int> ListAsync(Session session, CancellationToken cancellationToken)
    {
        var workers = await session.Client.WorkersAsync(cancellationToken);
        session.Output.List(workers, JsonContext.Default.WorkerInfo, ["host", "state", "jobs", "seen", "address", "models"], w =>
        [
            w.Host,
            w.State,
            string.Create(CultureInfo.InvariantCulture, $"{w.Running}/{w.Capacity}"),
            w.SeenAt.ToLocalTime().ToString("HH:mm:ss", CultureInfo.InvariantCulture),
            w.Address ?? "",
            string.Join(", ", w.Models.Select(m => m.State == "ready" ? m.Name : $"{m.Name} ({m.State})")),
        ]);
        return ExitCode.Ok;
    }
}
