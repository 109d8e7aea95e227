using System.Runtime.InteropServices;

namespace Myelin.Hosting.Artifacts;

/// <summary>What .NET lacks for files that survive a power cut.</summary>
internal static class Durable
{
    private const int NoSpace = 28;
    private const int QuotaExceeded = 122;

    /// <summary>Makes a rename inside <paramref name="path"/> durable. A system that has no such call is trusted.</summary>
    public static void SyncFolder(string path)
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        var descriptor = Open(path, 0);
        if (descriptor < 0)
        {
            throw new IOException($"cannot open folder {path} to sync it", Marshal.GetLastPInvokeError());
        }

        try
        {
            if (Sync(descriptor) != 0)
            {
                throw new IOException($"cannot sync folder {path}", Marshal.GetLastPInvokeError());
            }
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    public static bool IsFull(IOException fault) => (fault.HResult & 0xffff) is NoSpace or QuotaExceeded || fault.InnerException is IOException inner && IsFull(inner);

    [DllImport("libc", EntryPoint = "open", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags);

    [DllImport("libc", EntryPoint = "fsync", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Sync(int descriptor);

    [DllImport("libc", EntryPoint = "close")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Close(int descriptor);
}
