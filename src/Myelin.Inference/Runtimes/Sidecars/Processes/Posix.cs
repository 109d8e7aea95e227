using System.Runtime.InteropServices;

namespace Myelin.Inference.Runtimes.Sidecars.Processes;

/// <summary>What supervising processes needs of the system beyond .NET.</summary>
internal static partial class Posix
{
    public const int Terminate = 15;
    public const int Kill = 9;

    public static bool IsRoot => GetEffectiveUser() == 0;

    /// <summary>Signals every process of a group.</summary>
    /// <returns>False where the group has none any more.</returns>
    public static bool SignalGroup(int group, int signal) => group > 1 && KillProcess(-group, signal) == 0;

    /// <returns>False where there is no such process any more.</returns>
    public static bool Signal(int pid, int signal) => pid > 1 && KillProcess(pid, signal) == 0;

    public static bool MayExecute(string path) => Access(path, 1) == 0;

    /// <summary>Makes a folder with exactly these permissions, such as 0x1C0 (0700).</summary>
    public static void MakeFolder(string path, uint mode)
    {
        Directory.CreateDirectory(path);
        _ = ChangeMode(path, mode);
    }

    public static bool TryOwn(string path, uint user, uint group) => ChangeOwner(path, user, group) == 0;

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int KillProcess(int pid, int signal);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint GetEffectiveUser();

    [LibraryImport("libc", EntryPoint = "access", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Access(string path, int mode);

    [LibraryImport("libc", EntryPoint = "chmod", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int ChangeMode(string path, uint mode);

    [LibraryImport("libc", EntryPoint = "chown", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int ChangeOwner(string path, uint user, uint group);
}
