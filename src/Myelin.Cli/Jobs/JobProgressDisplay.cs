using Myelin.Cli.Terminal;
using Spectre.Console;

namespace Myelin.Cli.Jobs;

/// <summary>One moving bar per job on standard error; nothing at all where no person would see it move.</summary>
internal static class JobProgressDisplay
{
    /// <param name="work">Gets a function that makes a bar; a bar takes the job after each change.</param>
    public static Task<T> RunAsync<T>(Output output, Func<Func<string, Action<Job>>, Task<T>> work) =>
        output.CanAnimate
            ? output.Error.Progress()
                .AutoClear(true)
                .HideCompleted(false)
                .Columns(new SpinnerColumn(), new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn())
                .StartAsync(context => work(name => Bar(context, name)))
            : work(_ => _ => { });

    private static Action<Job> Bar(ProgressContext context, string name)
    {
        var bar = context.AddTask(Markup.Escape(Readable.Plain(name)), maxValue: 1);
        bar.IsIndeterminate = true;
        return job =>
        {
            bar.Description = Markup.Escape(Readable.Plain($"{name}  {JobFollower.Describe(job)}"));
            if (job.State.IsEnd())
            {
                bar.IsIndeterminate = false;
                bar.Value = 1;
                bar.StopTask();
            }
            else if (job.Progress is { } progress)
            {
                bar.IsIndeterminate = false;
                bar.Value = progress.Fraction;
            }
        };
    }
}
