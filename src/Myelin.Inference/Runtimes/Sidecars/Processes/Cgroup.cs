using System.Globalization;

namespace Myelin.Inference.Runtimes.Sidecars.Processes;

/// <summary>
/// A control group of one sidecar: what it and its children take together is held below the limits by the kernel. In
/// version 2 one folder, in version 1 one for each controller. Disposed after the last process has gone.
/// </summary>
internal sealed class Cgroup : IDisposable
{
    private const string Prefix = "myelin-sidecar-";
    private const int Period = 100_000; // µs, the kernel's own default

    private static readonly Lock s_prepare = new();

    private readonly List<string> _folders = [];
    private string? _memoryEvents;

    private Cgroup()
    {
    }

    /// <summary>Times that the kernel has ended a process of the group because of its memory.</summary>
    public int OutOfMemory
    {
        get
        {
            try
            {
                var line = _memoryEvents is null ? null : File.ReadLines(_memoryEvents).FirstOrDefault(l => l.StartsWith("oom_kill ", StringComparison.Ordinal));
                return line is null ? 0 : int.Parse(line.AsSpan(9), CultureInfo.InvariantCulture);
            }
            catch (IOException)
            {
                return 0;
            }
        }
    }

    /// <returns>Null where this process may not make control groups, which is the rule in containers.</returns>
    public static Cgroup? TryCreate(string name, long? memory, double? cpus)
    {
        var group = new Cgroup();
        try
        {
            lock (s_prepare)
            {
                if (!group.TryVersion2(name, memory, cpus) && !group.TryVersion1(name, memory, cpus))
                {
                    group.Dispose();
                    return null;
                }
            }

            return group;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            group.Dispose();
            return null;
        }
    }

    /// <summary>Puts a process in; its later children follow.</summary>
    /// <returns>False where the system refuses.</returns>
    public bool TryAdd(int pid)
    {
        try
        {
            foreach (var folder in _folders)
            {
                Write(folder, "cgroup.procs", pid.ToString(CultureInfo.InvariantCulture));
            }

            return true;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>SIGKILL to every process of the group, also to those with a session of their own. Does nothing before Linux 5.14.</summary>
    public void Kill() => _folders.ForEach(folder => TryWrite(folder, "cgroup.kill", "1"));

    public void Dispose() => _folders.ForEach(Remove);

    /// <summary>Removes groups that dead workers left; those of living ones have processes and stay.</summary>
    public static void Sweep()
    {
        string?[] parents = [CgroupPaths.Version2(), CgroupPaths.Version1("memory"), CgroupPaths.Version1("cpu")];
        foreach (var parent in parents.OfType<string>().Where(Directory.Exists))
        {
            foreach (var folder in Directory.EnumerateDirectories(parent, Prefix + "*"))
            {
                if (!int.TryParse(Path.GetFileName(folder)[Prefix.Length..].Split('-')[0], CultureInfo.InvariantCulture, out var worker) || ProcessFacts.StartOf(worker) is null)
                {
                    Remove(folder);
                }
            }
        }
    }

    private bool TryVersion2(string name, long? memory, double? cpus)
    {
        if (CgroupPaths.Version2() is not { } parent || !CgroupPaths.TryDelegate(parent, memory is not null, cpus is not null))
        {
            return false;
        }

        var folder = Make(parent, name);
        if (memory is { } bytes)
        {
            Write(folder, "memory.max", bytes.ToString(CultureInfo.InvariantCulture));
            TryWrite(folder, "memory.swap.max", "0");
            TryWrite(folder, "memory.oom.group", "1"); // all of it or nothing: half a sidecar answers nobody
            _memoryEvents = Path.Combine(folder, "memory.events");
        }

        if (cpus is { } share)
        {
            Write(folder, "cpu.max", string.Create(CultureInfo.InvariantCulture, $"{(long)(share * Period)} {Period}"));
        }

        return true;
    }

    private bool TryVersion1(string name, long? memory, double? cpus)
    {
        if (memory is { } bytes)
        {
            if (CgroupPaths.Version1("memory") is not { } parent)
            {
                return false;
            }

            var folder = Make(parent, name);
            Write(folder, "memory.limit_in_bytes", bytes.ToString(CultureInfo.InvariantCulture));
            TryWrite(folder, "memory.memsw.limit_in_bytes", bytes.ToString(CultureInfo.InvariantCulture));
            _memoryEvents = Path.Combine(folder, "memory.oom_control");
        }

        if (cpus is { } share)
        {
            if (CgroupPaths.Version1("cpu") is not { } parent)
            {
                return false;
            }

            var folder = Make(parent, name);
            Write(folder, "cpu.cfs_period_us", Period.ToString(CultureInfo.InvariantCulture));
            Write(folder, "cpu.cfs_quota_us", ((long)(share * Period)).ToString(CultureInfo.InvariantCulture));
        }

        return true;
    }

    private string Make(string parent, string name)
    {
        var folder = Path.Combine(parent, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{Environment.ProcessId}-{name}"));
        Directory.CreateDirectory(folder);
        _folders.Add(folder);
        return folder;
    }

    private static void Write(string folder, string file, string text) => File.WriteAllText(Path.Combine(folder, file), text);

    private static void TryWrite(string folder, string file, string text)
    {
        try
        {
            if (File.Exists(Path.Combine(folder, file)))
            {
                Write(folder, file, text);
            }
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            // This system does not know it.
        }
    }

    private static void Remove(string folder)
    {
        try
        {
            Directory.Delete(folder); // not its files: they are the kernel's
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            // It has processes, or is gone.
        }
    }
}
