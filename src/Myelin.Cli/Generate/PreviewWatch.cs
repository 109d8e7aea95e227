using Myelin.Cli.Jobs;
using Myelin.Cli.Terminal;

namespace Myelin.Cli.Generate;

/// <summary>Shows each change of a generation: the bar always, the preview when there is a new one.</summary>
internal sealed class PreviewWatch(MyelinClient client, LivePicture live, bool wanted)
{
    private string? _shown;

    public async Task ChangedAsync(Job job, CancellationToken cancellationToken)
    {
        if (wanted && job is { State: JobState.Running, Progress.Preview: { } preview } && preview != _shown)
        {
            _shown = preview;
            if (await client.PreviewAsync(preview, cancellationToken) is { } picture)
            {
                live.Show(picture);
            }
        }

        live.Bar(job.State == JobState.Succeeded ? 1 : job.Progress?.Fraction, JobFollower.Describe(job));
    }
}
