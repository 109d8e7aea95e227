using System.Globalization;

namespace Myelin.Inference.Runtimes.Sidecars.Processes;

/// <summary>What /proc says of processes. A number alone names no process: it is given again to others, with another start.</summary>
internal static class ProcessFacts
{
    private const int StateField = 0;
    private const int GroupField = 2;
    private const int StartField = 19;

    /// <summary>When the process was started, in clock ticks since boot; null where there is none, or only its remains.</summary>
    public static long? StartOf(int pid) =>
        Fields($"/proc/{pid}/stat") is { } fields && fields[StateField] is not ("Z" or "X") ? long.Parse(fields[StartField], CultureInfo.InvariantCulture) : null;

    /// <summary>Living processes of a group.</summary>
    public static IReadOnlyList<int> OfGroup(int group)
    {
        var wanted = group.ToString(CultureInfo.InvariantCulture);
        return [.. All().Where(pid => Fields($"/proc/{pid}/stat") is { } fields && fields[GroupField] == wanted && fields[StateField] is not ("Z" or "X"))];
    }

    /// <summary>Processes that were started with this text in their environment, or by one that was.</summary>
    public static IReadOnlyList<int> WithEnvironment(string text) => [.. All().Where(pid => Environment(pid).Contains(text, StringComparison.Ordinal))];

    /// <summary>What the process was started with, entries separated by zeros; empty where that may not be read.</summary>
    public static string Environment(int pid)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/environ");
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    private static IEnumerable<int> All()
    {
        foreach (var path in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(path), NumberStyles.None, CultureInfo.InvariantCulture, out var pid))
            {
                yield return pid;
            }
        }
    }

    /// <summary>The fields after the name, which is in parentheses and may hold anything.</summary>
    private static string[]? Fields(string path)
    {
        try
        {
            var text = File.ReadAllText(path);
            var fields = text[(text.LastIndexOf(')') + 2)..].Split(' ');
            return fields.Length > StartField ? fields : null;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return null; // it ended between two looks
        }
    }
}
