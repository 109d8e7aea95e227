using System.Runtime.InteropServices;

namespace Myelin.Testing;

/// <summary>
/// While it lasts this process opens nothing: no file, no socket, no pipe (EMFILE). For tests that run alone; what runs under
/// it must have run before, since code is loaded from files.
/// </summary>
public sealed partial class NoHandles : IDisposable
{
    private const int NumberOfFiles = 7;

    private readonly Limit _before;

    private NoHandles(Limit before) => _before = before;

    public static NoHandles Take()
    {
        Check(Get(NumberOfFiles, out var before));
        var none = before with { Soft = 0 };
        Check(Set(NumberOfFiles, none));
        return new NoHandles(before);
    }

    public void Dispose() => Check(Set(NumberOfFiles, _before));

    private static void Check(int result)
    {
        if (result != 0)
        {
            throw new InvalidOperationException($"the limit of handles cannot be changed: errno {Marshal.GetLastPInvokeError()}");
        }
    }

    [LibraryImport("libc", EntryPoint = "getrlimit", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Get(int resource, out Limit limit);

    [LibraryImport("libc", EntryPoint = "setrlimit", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Set(int resource, in Limit limit);

    private record struct Limit(ulong Soft, ulong Hard);
}
