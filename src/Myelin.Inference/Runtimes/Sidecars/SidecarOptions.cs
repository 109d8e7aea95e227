namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>How sidecars are supervised; one value for the process. What belongs to one model stands in its <c>model.yaml</c>.</summary>
public sealed record SidecarOptions
{
    /// <summary>Where sockets and notes about running processes lie. A path so long that no socket fits gets a folder under the temporary one.</summary>
    public required string RunFolder { get; init; }

    /// <summary>Programs that <c>model.yaml</c> names are started. False: only sidecars that others run are used.</summary>
    public bool Start { get; init; } = true;

    /// <summary>Bytes of shared memory per process, half for inputs and half for outputs; reserved whole.</summary>
    public long RingBytes { get; init; } = 128L << 20;

    /// <summary>Crashes within <see cref="CrashWindow"/>, or failed starts in a row, after which a process is given up.</summary>
    public int MaxCrashes { get; init; } = 5;

    public TimeSpan CrashWindow { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Pause before the first restart; doubles with each failure in a row, with a quarter of jitter either way.</summary>
    public TimeSpan RestartDelay { get; init; } = TimeSpan.FromMilliseconds(200);

    public TimeSpan MaxRestartDelay { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Longest call where <c>model.yaml</c> says nothing.</summary>
    public TimeSpan CallTimeout { get; init; } = TimeSpan.FromMinutes(30);

    /// <summary>A sidecar that can cancel and has not answered for so long after a cancel is taken for hung.</summary>
    public TimeSpan CancelTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Between two questions whether a sidecar lives.</summary>
    public TimeSpan HealthInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>A sidecar that has not answered for so long is taken for hung.</summary>
    public TimeSpan HealthTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a call waits for a sidecar to be there before it fails, worth a repeat.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Characters of one line of a sidecar's log; what is longer is cut.</summary>
    public int LogLineLength { get; init; } = 4096;

    /// <summary>Lines a second that one sidecar may add to the worker's log; what is more is counted.</summary>
    public int LogLinesPerSecond { get; init; } = 100;

    /// <summary>Last lines that an error shows.</summary>
    public int LogTail { get; init; } = 50;
}
