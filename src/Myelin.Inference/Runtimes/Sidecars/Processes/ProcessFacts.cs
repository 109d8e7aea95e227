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

    /// <summary>A variable that the process was started with, or inherited from one that was; null where it has none or may not be read.</summary>
    public static string? Variable(int pid, string name)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/environ").Split('\0').FirstOrDefault(entry => entry.StartsWith(name + "=", StringComparison.Ordinal))?[(name.Length + 1)..];
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <exception cref="IOException">No handle is left to look with.</exception>
    public static IEnumerable<int> All()
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
