using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Myelin.Inference.Runtimes.Sidecars;

namespace Myelin.Hosting.Configuration;

/// <summary>Supervision of sidecars; what belongs to one model stands in the section <c>sidecar</c> of its <c>model.yaml</c>.</summary>
internal sealed record SidecarsOptions
{
    [Description("Start the programs that model.yaml names. Off: only sidecars that others run, by address.")]
    public bool Start { get; init; } = true;

    [Description("Folder of sockets and notes about running sidecars. Default: run/ inside the data folder.")]
    public string? RunFolder { get; init; }

    [Description("Shared memory per sidecar process in bytes, half for inputs and half for outputs.")]
    [Range(8192d, 137438953472d)]
    public long RingBytes { get; init; } = 128L << 20;

    [Description("Crashes within the window, or failed starts in a row, before a sidecar is given up and its model broken.")]
    [Range(1, 1000)]
    public int MaxCrashes { get; init; } = 5;

    [Description("The window of sidecars.maxCrashes.")]
    [Range(typeof(TimeSpan), "00:00:00.1", "24.00:00:00")]
    public TimeSpan CrashWindow { get; init; } = TimeSpan.FromMinutes(1);

    [Description("First pause before a restart; doubles each time, with jitter.")]
    public TimeSpan RestartDelay { get; init; } = TimeSpan.FromMilliseconds(200);

    [Description("Longest pause before a restart, or before a lost address is tried again.")]
    public TimeSpan MaxRestartDelay { get; init; } = TimeSpan.FromSeconds(30);

    [Description("Longest call of a sidecar where its model.yaml says nothing; beyond it the process is taken for hung.")]
    [Range(typeof(TimeSpan), "00:00:00.1", "1.00:00:00")]
    public TimeSpan CallTimeout { get; init; } = TimeSpan.FromMinutes(30);

    [Description("A sidecar that can cancel and has not answered for so long after a cancel is taken for hung.")]
    [Range(typeof(TimeSpan), "00:00:00.1", "1.00:00:00")]
    public TimeSpan CancelTimeout { get; init; } = TimeSpan.FromSeconds(30);

    [Description("How often a sidecar is asked whether it lives.")]
    [Range(typeof(TimeSpan), "00:00:00.05", "00:10:00")]
    public TimeSpan HealthInterval { get; init; } = TimeSpan.FromSeconds(5);

    [Description("A sidecar that has not answered for so long is taken for hung.")]
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00")]
    public TimeSpan HealthTimeout { get; init; } = TimeSpan.FromSeconds(10);

    [Description("How long a call waits for a sidecar that restarts before it goes back to the queue.")]
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(60);

    [Description("Lines a second that a sidecar may add to this log; what is more is counted.")]
    [Range(1, 100_000)]
    public int LogLinesPerSecond { get; init; } = 100;
}

internal static class SidecarsOptionsExtensions
{
    public static SidecarOptions ToSidecarOptions(this MyelinOptions options)
    {
        var sidecars = options.Sidecars;
        return new SidecarOptions
        {
            Start = sidecars.Start,
            RunFolder = Path.GetFullPath(sidecars.RunFolder ?? Path.Combine(options.Data, "run")),
            RingBytes = sidecars.RingBytes,
            MaxCrashes = sidecars.MaxCrashes,
            CrashWindow = sidecars.CrashWindow,
            RestartDelay = sidecars.RestartDelay,
            MaxRestartDelay = sidecars.MaxRestartDelay,
            CallTimeout = sidecars.CallTimeout,
            CancelTimeout = sidecars.CancelTimeout,
            HealthInterval = sidecars.HealthInterval,
            HealthTimeout = sidecars.HealthTimeout,
            Patience = sidecars.Patience,
            LogLinesPerSecond = sidecars.LogLinesPerSecond,
        };
    }
}
