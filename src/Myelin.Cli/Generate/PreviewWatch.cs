using Myelin.Cli.Jobs;
using Myelin.Cli.Terminal;

namespace Myelin.Cli.Generate;

/// <summary>Shows each change of a generation: the bar always, the preview after each step.</summary>
internal sealed class PreviewWatch(MyelinClient client, LivePicture live, bool wanted)
{
    private int _shown = -1;

    public async Task ChangedAsync(Job job, CancellationToken cancellationToken)
    {
        if (wanted && job is { State: JobState.Running, Progress: { Preview: { } preview, Step: var step } } && step != _shown)
        {
            _shown = step;
            if (await client.PreviewAsync(preview, cancellationToken) is { } picture)
            {
                live.Show(picture);
            }
        }

        live.Bar(job.Progress?.Fraction, JobFollower.Describe(job));
    }
}
