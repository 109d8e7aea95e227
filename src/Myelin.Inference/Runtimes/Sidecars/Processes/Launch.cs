using System.Globalization;

namespace Myelin.Inference.Runtimes.Sidecars.Processes;

/// <summary>
/// The command line around a sidecar's own. Every link replaces itself by the next, so the pid stays: a session of its
/// own; a gate that waits for one line, while the worker notes the process and puts it into its control group; limits;
/// privileges; the program. No shell reads the program's arguments: they are handed on as they are.
/// </summary>
internal static class Launch
{
    private const string Gate = """read -r go || exit 125; exec "$@" </dev/null""";

    private static readonly string? s_session = Find("setsid");
    private static readonly string? s_privileges = Find("setpriv");
    private static readonly string? s_limits = Find("prlimit");

    /// <summary>Limits of memory can be set without a control group.</summary>
    public static bool CanLimit => s_limits is not null;

    /// <summary>Programs can be run as another user.</summary>
    public static bool CanChangeUser => s_privileges is not null && Posix.IsRoot;

    public static (string File, string[] Arguments) InItsOwnSession(string file) =>
        s_session is null ? (file, []) : (s_session, [file]);

    /// <param name="command">Program (a path that exists) and arguments.</param>
    /// <param name="memory">Bytes of writable memory per process of the group; null where a control group does it.</param>
    /// <param name="user">Whom to become.</param>
    public static (string File, IReadOnlyList<string> Arguments) Of(IReadOnlyList<string> command, long? memory, SystemUser? user)
    {
        var (file, arguments) = InItsOwnSession("/bin/sh");
        var line = new List<string>(arguments) { "-c", Gate, "myelin-sidecar" };
        if (memory is { } bytes && s_limits is not null)
        {
            // Of data, not of address space: programs reserve far more addresses than they use.
            line.AddRange([s_limits, string.Create(CultureInfo.InvariantCulture, $"--data={bytes}")]);
        }

        if (s_privileges is not null)
        {
            line.AddRange([s_privileges, "--no-new-privs"]);
            if (user is not null)
            {
                line.AddRange([$"--reuid={user.Id}", $"--regid={user.Group}", "--init-groups", "--inh-caps=-all"]);
            }

            line.Add("--");
        }

        line.AddRange(command);
        return (file, line);
    }

    /// <summary>Where the program of a command is; null where nowhere.</summary>
    /// <param name="program">A name to look up in PATH, an absolute path, or one within <paramref name="folder"/>.</param>
    /// <param name="folder">The model's folder.</param>
    public static string? Locate(string program, string folder)
    {
        if (!program.Contains('/'))
        {
            return Find(program);
        }

        var path = Path.GetFullPath(program, folder);
        return IsExecutable(path) ? path : null;
    }

    private static string? Find(string program) => (Environment.GetEnvironmentVariable("PATH") ?? "/usr/local/bin:/usr/bin:/bin")
        .Split(':', StringSplitOptions.RemoveEmptyEntries)
        .Select(folder => Path.Combine(folder, program))
        .FirstOrDefault(IsExecutable);

    private static bool IsExecutable(string path) =>
        File.Exists(path) && Posix.MayExecute(path);
}
