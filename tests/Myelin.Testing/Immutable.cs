using System.Diagnostics;
using Xunit;

namespace Myelin.Testing;

/// <summary>A file or folder that not even root can delete or change. It takes root and a file system that has such a mark; without them the test is skipped.</summary>
public sealed class Immutable : IDisposable
{
    private readonly string _path;

    private Immutable(string path) => _path = path;

    public static Immutable Make(string path)
    {
        if (!Run("+i", path))
        {
            Assert.Skip("needs root and chattr +i");
        }

        return new Immutable(path);
    }

    public void Dispose() => Run("-i", _path);

    private static bool Run(string change, string path)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo("chattr", [change, path]) { RedirectStandardError = true })!;
            process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}
