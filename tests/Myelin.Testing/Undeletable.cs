using System.Diagnostics;
using Xunit;

namespace Myelin.Testing;

/// <summary>A file that not even root can delete: it is mounted upon itself. Mounting takes root; without it the test is skipped.</summary>
public sealed class Undeletable : IDisposable
{
    private readonly string _path;

    private Undeletable(string path) => _path = path;

    public static Undeletable Make(string path)
    {
        if (!Run("mount", "--bind", path, path))
        {
            Assert.Skip("needs root to mount a file upon itself");
        }

        return new Undeletable(path);
    }

    public void Dispose() => Run("umount", "--lazy", _path);

    private static bool Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0;
    }
}
