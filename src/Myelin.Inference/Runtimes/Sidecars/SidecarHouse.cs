using Myelin.Inference.Runtimes.Sidecars.Processes;

namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>What all processes that one worker starts share.</summary>
internal sealed class SidecarHouse(SidecarOptions options, TimeProvider time, RunFolder run) : IDisposable
{
    public SidecarOptions Options => options;

    public TimeProvider Time => time;

    public RunFolder Run => run;

    public Watchdog Watchdog { get; } = new(run.Folder);

    public void Dispose()
    {
        Watchdog.Dispose();
        run.Dispose();
    }
}
