using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Sidecars.Processes;

/// <summary>
/// One worker's folder of sockets and notes: <c>run/w-PID-START/</c> with <c>lock</c>, held by the worker as long as it
/// lives, and per process a folder <c>N/</c> for its socket and a note <c>N.pid</c> (pid, start). A folder whose lock is
/// free was left by a worker that is gone: what it started is ended, and the folder removed.
/// </summary>
internal sealed class RunFolder : IDisposable
{
    /// <summary>Variable of every process started here, and of its children: the folder of its socket.</summary>
    public const string Variable = "MYELIN_SIDECAR_FOLDER";

    private const string Prefix = "w-";

    /// <summary>/w-4194304-18446744073709551615a/99999/s</summary>
    private const int LongestTail = 42;

    /// <summary>0711: others may pass to what is theirs below.</summary>
    private const uint Passable = 0x1C9;

    /// <summary>0700.</summary>
    private const uint Private = 0x1C0;

    private readonly FileStream _lock;
    private int _last;

    private RunFolder(string path, FileStream held) => (Folder, _lock) = (path, held);

    public string Folder { get; }

    /// <summary>Makes this worker's folder and clears away what dead workers left beside it.</summary>
    /// <returns>The folder, and the process groups of dead workers that were ended.</returns>
    /// <exception cref="IOException">It cannot be made.</exception>
    public static (RunFolder Folder, IReadOnlyList<int> Ended) Open(string root)
    {
        root = Usable(Path.GetFullPath(root));
        Posix.MakeFolder(root, Passable);
        var ended = new List<int>();
        foreach (var folder in Directory.EnumerateDirectories(root, Prefix + "*"))
        {
            ended.AddRange(Clear(folder));
        }

        var pid = Environment.ProcessId;
        var own = Path.Combine(root, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{pid}-{ProcessFacts.StartOf(pid) ?? 0}"));
        for (var number = 0; ; number++)
        {
            // A second supervisor of one process, as tests have, gets a folder of its own.
            var path = number == 0 ? own : own + (char)('a' + number - 1);
            Posix.MakeFolder(path, Passable);
            if (TryLock(path) is { } held)
            {
                return (new RunFolder(path, held), ended);
            }

            if (number == 26)
            {
                throw new IOException($"'{own}' is held by another worker");
            }
        }
    }

    /// <summary>Makes the folder in which a new process is to make its socket.</summary>
    /// <param name="owner">Whose the folder is to be; null for the worker's own user.</param>
    public string Make(SystemUser? owner)
    {
        var folder = Path.Combine(Folder, Interlocked.Increment(ref _last).ToString(CultureInfo.InvariantCulture));
        Posix.MakeFolder(folder, Private);
        if (owner is not null)
        {
            Posix.TryOwn(folder, owner.Id, owner.Group);
        }

        return folder;
    }

    /// <summary>Notes a running process, so that a later worker can end it if this one cannot.</summary>
    public static void Note(string folder, int pid) =>
        File.WriteAllText(folder + ".pid", string.Create(CultureInfo.InvariantCulture, $"{pid} {ProcessFacts.StartOf(pid) ?? 0}\n"));

    /// <summary>Removes a process's folder and its note.</summary>
    public static void Forget(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
            File.Delete(folder + ".pid");
        }
        catch (IOException)
        {
            // The next start removes what is left.
        }
    }

    /// <summary>
    /// Ends what left its process group (a session of its own): its environment still names the folder of its socket. Without a
    /// handle to look with it ends nothing; the end of the worker looks once more.
    /// </summary>
    public static void EndStrays(string folder)
    {
        try
        {
            foreach (var stray in ProcessFacts.All().Where(pid => IsOf(pid, folder)))
            {
                Posix.Signal(stray, Posix.Kill);
            }
        }
        catch (IOException)
        {
            // Nobody can be helped by a fault here: the rest is cleared away all the same.
        }
    }

    public void Dispose()
    {
        EndStrays(Folder);
        try
        {
            Directory.Delete(Folder, recursive: true);
        }
        catch (IOException)
        {
            // The next start removes what is left.
        }

        _lock.Dispose();
    }

    /// <summary>A socket's path has at most 107 bytes.</summary>
    private static string Usable(string root) => Encoding.UTF8.GetByteCount(root) + LongestTail <= SidecarAddress.MaxPathBytes
        ? root
        : Path.Combine(Path.GetTempPath(), "myelin-" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(root)))[..16]);

    private static FileStream? TryLock(string folder)
    {
        try
        {
            var path = Path.Combine(folder, "lock");
            var held = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            if (File.Exists(path))
            {
                return held;
            }

            held.Dispose(); // another worker took the folder for an orphan's between the two lines above
            return null;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static List<int> Clear(string folder)
    {
        var ended = new List<int>();
        using var held = TryLock(folder);
        if (held is null)
        {
            return ended; // its worker lives
        }

        foreach (var note in Directory.EnumerateFiles(folder, "*.pid"))
        {
            if (TryRead(note) is var (pid, start) && EndGroup(pid, start, folder))
            {
                ended.Add(pid);
            }
        }

        EndStrays(folder);
        try
        {
            Directory.Delete(folder, recursive: true);
        }
        catch (IOException)
        {
            // Another worker that starts at this moment clears it too.
        }

        return ended;
    }

    private static (int Pid, long Start)? TryRead(string note)
    {
        try
        {
            var words = File.ReadAllText(note).Split(' ');
            return words.Length == 2 && int.TryParse(words[0], CultureInfo.InvariantCulture, out var pid) && long.TryParse(words[1], CultureInfo.InvariantCulture, out var start) && pid > 1
                ? (pid, start)
                : null;
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Whether the process was started with this folder or one in it.</summary>
    private static bool IsOf(int pid, string folder) =>
        ProcessFacts.Variable(pid, Variable) is { } own && (own + '/').StartsWith(folder + '/', StringComparison.Ordinal);

    /// <summary>
    /// Ends what is left of a group. Its number may have been given to others since: the leader is known by its start,
    /// and every member by the worker's folder in its environment.
    /// </summary>
    private static bool EndGroup(int pid, long start, string folder)
    {
        var ours = ProcessFacts.OfGroup(pid).Where(member => IsOf(member, folder)).ToList();
        if (ours.Contains(pid) && ProcessFacts.StartOf(pid) == start)
        {
            return Posix.SignalGroup(pid, Posix.Kill);
        }

        if (ProcessFacts.StartOf(pid) is not null)
        {
            return false;
        }

        ours.ForEach(member => Posix.Signal(member, Posix.Kill));
        return ours.Count > 0;
    }
}
