using System.Runtime.InteropServices;

namespace Myelin.Server;

/// <summary>
/// The end of a server that has stopped in order. Native libraries take their globals down at exit while threads of
/// theirs may still run, which now and then ends in a segmentation fault and a status that says that something failed.
/// Everything of ours is on the disk and every log line is out by then, so the process leaves without that.
/// </summary>
internal static class ProcessEnd
{
    /// <summary>Does not return where the system has such a call.</summary>
    public static int Now(int status)
    {
        if (OperatingSystem.IsLinux())
        {
            Console.Out.Flush();
            Console.Error.Flush();
            ExitAtOnce(status);
        }

        return status;
    }

    [DllImport("libc", EntryPoint = "_exit")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern void ExitAtOnce(int status);
}
