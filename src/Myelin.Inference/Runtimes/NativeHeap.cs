using System.Runtime.InteropServices;

namespace Myelin.Inference.Runtimes;

/// <summary>The C library's heap, where native networks and pictures live.</summary>
internal static partial class NativeHeap
{
    private static readonly bool s_glibc = OperatingSystem.IsLinux() && NativeLibrary.TryLoad("libc.so.6", out var library) && NativeLibrary.TryGetExport(library, "malloc_trim", out _);

    /// <summary>Gives freed pages back to the system: after a large call the allocator keeps what later ones hardly need. Milliseconds.</summary>
    public static void Trim()
    {
        if (s_glibc)
        {
            _ = MallocTrim(0);
        }
    }

    [LibraryImport("libc.so.6", EntryPoint = "malloc_trim")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int MallocTrim(nuint pad);
}
