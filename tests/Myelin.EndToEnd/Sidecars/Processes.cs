using System.Diagnostics;
using System.Globalization;

namespace Myelin.EndToEnd.Sidecars;

/// <summary>What /proc says of the processes around a server.</summary>
internal static class Processes
{
    /// <summary>False also for one that has ended and that nobody has asked about yet.</summary>
    public static bool IsAlive(int pid)
    {
        try
        {
            var text = File.ReadAllText($"/proc/{pid}/stat");
            return text[(text.LastIndexOf(')') + 2)..][0] is not ('Z' or 'X');
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    public static string CommandLine(int pid) => Read($"/proc/{pid}/cmdline").Replace('\0', ' ');

    /// <summary>Living processes whose environment holds a text, such as the path of a worker's run folder.</summary>
    public static IReadOnlyList<int> With(string environment) => All(pid => Read($"/proc/{pid}/environ").Contains(environment, StringComparison.Ordinal));

    /// <summary>Living processes whose command line holds a text.</summary>
    public static IReadOnlyList<int> Called(string text) => All(pid => CommandLine(pid).Contains(text, StringComparison.Ordinal));

    public static void Kill(int pid)
    {
        using var process = Process.GetProcessById(pid);
        process.Kill();
    }

    private static List<int> All(Func<int, bool> wanted) => [.. Directory.EnumerateDirectories("/proc")
        .Select(path => int.TryParse(Path.GetFileName(path), NumberStyles.None, CultureInfo.InvariantCulture, out var pid) ? pid : 0)
        .Where(pid => pid > 1 && pid != Environment.ProcessId && wanted(pid) && IsAlive(pid))];

    private static string Read(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}
