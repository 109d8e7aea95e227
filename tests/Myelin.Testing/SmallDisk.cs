using System.Diagnostics;
using Xunit;

namespace Myelin.Testing;

/// <summary>A file system of a few megabytes in memory. Mounting takes root; without it the test is skipped.</summary>
public sealed class SmallDisk : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private SmallDisk()
    {
    }

    public string Path => _folder.Path;

    public static SmallDisk Mount(int megabytes)
    {
        var disk = new SmallDisk();
        if (!Run("mount", "-t", "tmpfs", "-o", $"size={megabytes}m", "tmpfs", disk.Path))
        {
            disk._folder.Dispose();
            Assert.Skip("needs root to mount a small tmpfs");
        }

        return disk;
    }

    public void Dispose()
    {
        Run("umount", "--lazy", Path);
        _folder.Dispose();
    }

    private static bool Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0;
    }
}
