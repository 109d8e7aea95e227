using System.Runtime.InteropServices;

namespace Myelin.Serving.Models.Catalogue;

/// <summary>Puts a folder in another's place in one step, so that whoever looks sees the old one or the new one, never none.</summary>
internal static class FolderSwap
{
    private const int WorkingFolder = -100;
    private const uint Exchange = 2;

    /// <summary><paramref name="target"/> is what <paramref name="fresh"/> was; what stood there before is deleted.</summary>
    public static void Put(string fresh, string target)
    {
        if (!Directory.Exists(target))
        {
            Directory.Move(fresh, target);
            return;
        }

        if (!TryExchange(fresh, target))
        {
            // A network volume without the exchange: scans forgive one look at the gap.
            var old = fresh + ".old";
            Directory.Move(target, old);
            try
            {
                Directory.Move(fresh, target);
            }
            catch
            {
                Directory.Move(old, target);
                throw;
            }

            Directory.Move(old, fresh);
        }

        Directory.Delete(fresh, recursive: true);
    }

    private static bool TryExchange(string one, string other)
    {
        try
        {
            return Rename(WorkingFolder, one, WorkingFolder, other, Exchange) == 0;
        }
        catch (EntryPointNotFoundException)
        {
            return false; // a system library without it
        }
    }

    [DllImport("libc", EntryPoint = "renameat2", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Rename(int fromFolder, [MarshalAs(UnmanagedType.LPUTF8Str)] string from, int toFolder, [MarshalAs(UnmanagedType.LPUTF8Str)] string to, uint flags);
}
