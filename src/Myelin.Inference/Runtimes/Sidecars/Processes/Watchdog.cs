using System.ComponentModel;
using System.Diagnostics;

namespace Myelin.Inference.Runtimes.Sidecars.Processes;

/// <summary>
/// Ends the worker's sidecars when the worker itself is gone, also by <c>kill -9</c>: one small shell process that knows
/// their process groups and reads from a pipe whose other end only the worker has. End of file means that the worker is
/// dead; then it ends the groups (SIGTERM, two seconds, SIGKILL) and removes the worker's run folder.
/// Not PR_SET_PDEATHSIG: that signal comes when the <em>thread</em> ends that started a process, and reaches no grandchild.
/// </summary>
internal sealed class Watchdog : IDisposable
{
    /// <summary>POSIX words only: <c>kill -TERM -- -GROUP</c>, which bash takes, dash does not.</summary>
    private const string Script = """
        groups=
        while read -r word group; do
          case $word in
            watch) groups="$groups $group" ;;
            leave) rest=; for g in $groups; do [ "$g" = "$group" ] || rest="$rest $g"; done; groups=$rest ;;
            done) exit 0 ;;
          esac
        done
        for g in $groups; do kill -s TERM -- "-$g" 2>/dev/null; done
        if [ -n "$groups" ]; then
          i=0
          while [ $i -lt 20 ]; do
            alive=
            for g in $groups; do kill -s 0 -- "-$g" 2>/dev/null && alive=1; done
            [ -z "$alive" ] && break
            sleep 0.1
            i=$((i + 1))
          done
          for g in $groups; do kill -s KILL -- "-$g" 2>/dev/null; done
        fi
        rm -rf -- "$1"
        """;

    private readonly Lock _lock = new();
    private readonly HashSet<int> _groups = [];
    private readonly string _folder;
    private Process? _process;
    private bool _disposed;

    public Watchdog(string runFolder) => _folder = runFolder;

    /// <summary>From now on the group goes when the worker goes.</summary>
    public void Watch(int group)
    {
        lock (_lock)
        {
            _groups.Add(group);
            Say($"watch {group}");
        }
    }

    /// <summary>Where it has died and cannot be started now, the next <see cref="Watch"/> starts it.</summary>
    public void Leave(int group)
    {
        lock (_lock)
        {
            _groups.Remove(group);
            try
            {
                Say($"leave {group}");
            }
            catch (Exception fault) when (fault is Win32Exception or IOException)
            {
                // Its groups are kept.
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            if (_process is { } process && !_disposed)
            {
                Say("done 0");
                process.StandardInput.Dispose();
                process.Dispose();
            }

            _disposed = true;
        }
    }

    /// <summary>Called under the lock. A watchdog that somebody has killed is replaced.</summary>
    private void Say(string line)
    {
        if (_disposed)
        {
            return;
        }

        if (_process is { HasExited: false } process && TryWrite(process, line))
        {
            return;
        }

        _process?.Dispose();
        _process = null; // a start that fails leaves none
        _process = Start();
        foreach (var group in _groups)
        {
            TryWrite(_process, $"watch {group}");
        }
    }

    private static bool TryWrite(Process process, string line)
    {
        try
        {
            process.StandardInput.Write(line + "\n");
            process.StandardInput.Flush();
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    private Process Start()
    {
        var start = new ProcessStartInfo { RedirectStandardInput = true, WorkingDirectory = "/" };
        (start.FileName, var first) = Launch.InItsOwnSession("/bin/sh");
        string[] arguments = [.. first, "-c", Script, "myelin-watchdog", _folder];
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment.Clear();
        start.Environment["PATH"] = "/usr/local/bin:/usr/bin:/bin";
        return Process.Start(start)!;
    }
}
