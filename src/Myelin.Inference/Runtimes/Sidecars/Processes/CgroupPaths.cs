using System.Globalization;

namespace Myelin.Inference.Runtimes.Sidecars.Processes;

/// <summary>Where this process stands in the hierarchies of control groups, from /proc.</summary>
internal static class CgroupPaths
{
    private const string Below = "myelin-worker";

    /// <summary>The group of this process in the one hierarchy of version 2; null where that has no controllers to give.</summary>
    public static string? Version2()
    {
        var own = Lines("/proc/self/cgroup").Select(line => line.Split(':', 3)).FirstOrDefault(parts => parts is ["0", "", _])?[2];
        var mount = Mounts().FirstOrDefault(m => m.Type == "cgroup2").Path;
        if (own is null || mount is null || Controllers(mount + own).Count == 0)
        {
            return null;
        }

        var group = (mount + own).TrimEnd('/');
        return Path.GetFileName(group) == Below ? Path.GetDirectoryName(group) : group; // it has moved down before
    }

    /// <summary>The group of this process in the hierarchy of a controller of version 1.</summary>
    public static string? Version1(string controller)
    {
        var own = Lines("/proc/self/cgroup").Select(line => line.Split(':', 3)).FirstOrDefault(parts => parts.Length == 3 && parts[1].Split(',').Contains(controller))?[2];
        var mount = Mounts().FirstOrDefault(m => m.Type == "cgroup" && m.Options.Split(',').Contains(controller)).Path;
        return own is not null && mount is not null && Directory.Exists(mount + own) ? (mount + own).TrimEnd('/') : null;
    }

    /// <summary>
    /// Lets children of <paramref name="group"/> have limits. Version 2 gives controllers only to children of a group
    /// without processes: where the whole group is this process (a service with <c>Delegate=yes</c>) it moves down into
    /// one of its own; otherwise nobody is moved, and this is refused.
    /// </summary>
    public static bool TryDelegate(string group, bool memory, bool cpu)
    {
        string[] wanted = [.. memory ? ["memory"] : Array.Empty<string>(), .. cpu ? ["cpu"] : Array.Empty<string>()];
        if (wanted.Except(Controllers(group)).Any())
        {
            return false;
        }

        var given = Path.Combine(group, "cgroup.subtree_control");
        if (!wanted.Except(Words(given)).Any())
        {
            return true;
        }

        try
        {
            var processes = Lines(Path.Combine(group, "cgroup.procs")).ToList();
            var own = Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
            if (processes.Count > 0 && File.Exists(Path.Combine(group, "cgroup.type"))) // the root, which may, has no type
            {
                if (processes is not [var only] || only != own)
                {
                    return false;
                }

                var below = Directory.CreateDirectory(Path.Combine(group, Below)).FullName;
                File.WriteAllText(Path.Combine(below, "cgroup.procs"), own);
            }

            File.WriteAllText(given, string.Join(' ', wanted.Select(controller => "+" + controller)));
            return true;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static IReadOnlyList<string> Controllers(string group) => Words(Path.Combine(group, "cgroup.controllers"));

    private static string[] Words(string file) => [.. Lines(file).SelectMany(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))];

    private static IEnumerable<(string Type, string Path, string Options)> Mounts() => Lines("/proc/self/mountinfo")
        .Select(line => line.Split(" - ", 2))
        .Where(halves => halves.Length == 2)
        .Select(halves => (Left: halves[0].Split(' '), Right: halves[1].Split(' ')))
        .Where(m => m.Left.Length >= 5 && m.Right.Length >= 3)
        .Select(m => (m.Right[0], m.Left[4] == "/" ? "" : m.Left[4], m.Right[2]));

    private static IEnumerable<string> Lines(string file)
    {
        try
        {
            return File.Exists(file) ? File.ReadAllLines(file) : [];
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
