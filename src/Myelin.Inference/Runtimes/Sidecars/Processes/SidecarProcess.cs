using System.Diagnostics;

namespace Myelin.Inference.Runtimes.Sidecars.Processes;

/// <summary>What a process is started with.</summary>
internal sealed record SidecarStart
{
    /// <summary>Such as <c>faces</c>; for logs and names.</summary>
    public required string Model { get; init; }

    public required IReadOnlyList<string> Command { get; init; }

    public required string WorkingFolder { get; init; }

    public required IReadOnlyDictionary<string, string> Environment { get; init; }

    /// <summary>The folder of its socket, noted beside it.</summary>
    public required string Folder { get; init; }

    public long? Memory { get; init; }

    public double? Cpus { get; init; }

    public SystemUser? User { get; init; }

    public TimeSpan StopTimeout { get; init; }

    public required TimeProvider Time { get; init; }
}

/// <summary>
/// One started sidecar and everything that started it takes: pid note, process group, control group, log readers. All of
/// it is gone when <see cref="DisposeAsync"/> returns. Owner: one endpoint's loop.
/// </summary>
internal sealed class SidecarProcess : IAsyncDisposable
{
    private static readonly TimeSpan s_logPatience = TimeSpan.FromSeconds(1);

    private readonly SidecarStart _start;
    private readonly Process _process;
    private readonly Watchdog _watchdog;
    private readonly Cgroup? _cgroup;
    private readonly ProcessLog _log;
    private readonly CancellationTokenSource _logEnd;
    private readonly Task _reading;
    private bool _ended;

    private SidecarProcess(SidecarStart start, Process process, Watchdog watchdog, Cgroup? cgroup, ProcessLog log)
    {
        (_start, _process, _watchdog, _cgroup, _log, Pid) = (start, process, watchdog, cgroup, log, process.Id);
        _logEnd = new CancellationTokenSource(Timeout.InfiniteTimeSpan, start.Time);
        _reading = Task.WhenAll(
            log.ReadAsync(process.StandardOutput.BaseStream, _logEnd.Token), log.ReadAsync(process.StandardError.BaseStream, _logEnd.Token));
        Exited = process.WaitForExitAsync(CancellationToken.None);
    }

    public int Pid { get; }

    /// <summary>Completes when the process has ended, for whatever reason.</summary>
    public Task Exited { get; }

    public IReadOnlyList<string> LogTail => _log.Tail;

    /// <summary><c>cgroup</c>, <c>rlimit</c> or <c>none</c>; null where no limits are set.</summary>
    public string? Limits => (_start.Memory, _start.Cpus) switch
    {
        (null, null) => null,
        _ when _cgroup is not null => "cgroup",
        (not null, _) when Launch.CanLimit => "rlimit",
        _ => "none",
    };

    /// <summary>Which limits of <c>model.yaml</c> nobody holds here; null where all are held.</summary>
    public string? NotHeld => (Limits, _start.Cpus) switch
    {
        ("none", null) => "sidecar.memory",
        ("none", _) when _start.Memory is not null => "sidecar.memory and sidecar.cpus",
        ("none" or "rlimit", not null) => "sidecar.cpus",
        _ => null,
    };

    /// <summary>Starts the program; from now on it goes when the worker goes.</summary>
    /// <exception cref="System.ComponentModel.Win32Exception">The system could not start it.</exception>
    public static SidecarProcess Start(SidecarStart start, Watchdog watchdog, ProcessLog log)
    {
        var cgroup = start.Memory is null && start.Cpus is null ? null : Cgroup.TryCreate(Name(start), start.Memory, start.Cpus);
        Process? process = null;
        try
        {
            process = Process.Start(Info(start, cgroup is null ? start.Memory : null))!;

            // It waits at the gate: whoever dies now, nothing is left that nobody knows of.
            watchdog.Watch(process.Id);
            RunFolder.Note(start.Folder, process.Id);
            if (cgroup is not null && !cgroup.TryAdd(process.Id))
            {
                throw new IOException($"the process could not be put into its control group");
            }

            var started = new SidecarProcess(start, process, watchdog, cgroup, log);
            process.StandardInput.Write("go\n");
            process.StandardInput.Close();
            return started;
        }
        catch
        {
            if (process is not null)
            {
                Posix.SignalGroup(process.Id, Posix.Kill);
                watchdog.Leave(process.Id);
                process.Dispose();
            }

            cgroup?.Dispose();
            throw;
        }
    }

    /// <summary>How it ended, for a person; only after <see cref="Exited"/>.</summary>
    public string Ending()
    {
        if (_cgroup?.OutOfMemory > 0)
        {
            return $"took more memory than sidecar.memory allows ({_start.Memory >> 20} MiB) and was ended by the system";
        }

        return _process.ExitCode switch
        {
            0 => "ended by itself (exit code 0)",
            > 128 and var code => $"was ended by signal {code - 128} ({Signal(code - 128)})",
            var code => $"ended with exit code {code}",
        };
    }

    /// <summary>SIGTERM; after the stop timeout SIGKILL to all of its group. Returns when it is gone.</summary>
    public async Task StopAsync()
    {
        if (!Exited.IsCompleted && Posix.Signal(Pid, Posix.Terminate))
        {
            await Exited.WaitAsync(_start.StopTimeout, _start.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await KillAsync().ConfigureAwait(false);
    }

    /// <summary>SIGKILL to the whole group. Returns when the process is gone.</summary>
    public async Task KillAsync()
    {
        if (_ended)
        {
            return;
        }

        // Also after its end: its children are no use without it.
        Posix.SignalGroup(Pid, Posix.Kill);
        _cgroup?.Kill();
        await Exited.ConfigureAwait(false);
        RunFolder.EndStrays(_start.Folder);
        _ended = true;
        _watchdog.Leave(Pid);
        _logEnd.CancelAfter(s_logPatience); // a process that left the group may hold the pipes open for ever
        await _reading.ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync().ConfigureAwait(false);
        RunFolder.Forget(_start.Folder);
        _cgroup?.Dispose();
        _logEnd.Dispose();
        _process.Dispose();
    }

    private static string Name(SidecarStart start) => $"{start.Model}-{Path.GetFileName(start.Folder)}";

    private static ProcessStartInfo Info(SidecarStart start, long? memory)
    {
        var (file, arguments) = Launch.Of(start.Command, memory, start.User);
        var info = new ProcessStartInfo(file)
        {
            WorkingDirectory = start.WorkingFolder,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach (var argument in arguments)
        {
            info.ArgumentList.Add(argument);
        }

        info.Environment.Clear();
        foreach (var (name, value) in start.Environment)
        {
            info.Environment[name] = value;
        }

        info.Environment[RunFolder.Variable] = start.Folder;

        return info;
    }

    private static string Signal(int number) => number switch
    {
        4 => "illegal instruction",
        6 => "abort",
        7 => "bus error",
        9 => "killed; the system does that where memory runs out",
        11 => "segmentation fault",
        15 => "told to end",
        _ => "see signal(7)",
    };
}
