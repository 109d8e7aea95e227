using System.Diagnostics;
using Myelin.Testing;
using Xunit;

namespace Myelin.Tests.Sidecars;

/// <summary>
/// Runs the Python SDK's own tests (<c>sidecars/python/tests</c>, standard library only), a module at a time, with NumPy
/// and without: both ways are shipped.
/// </summary>
public sealed class PythonSdkTests
{
    private static readonly string s_folder = Path.Combine(Shared.Root, "sidecars", "python", "tests");

    public static TheoryData<string, bool> Modules()
    {
        var modules = new TheoryData<string, bool>();
        foreach (var file in Directory.EnumerateFiles(s_folder, "test_*.py").Order(StringComparer.Ordinal))
        {
            modules.Add(Path.GetFileNameWithoutExtension(file), false);
            modules.Add(Path.GetFileNameWithoutExtension(file), true);
        }

        return modules;
    }

    [Theory]
    [MemberData(nameof(Modules))]
    public async Task Module_OnThisMachinesPython_Passes(string module, bool numpy)
    {
        var python = await FindAsync(numpy ? "import numpy" : "import sys; sys.exit(sys.version_info < (3, 9))");
        Assert.SkipWhen(python is null, numpy ? "needs a python3 with NumPy (Debian: python3-numpy)" : "needs python3, 3.9 or newer");

        var (exitCode, output) = await RunAsync(python, ["-m", "unittest", module], numpy);

        Assert.True(exitCode == 0, $"{python} -m unittest {module} ended with {exitCode}:\n{output}");
    }

    /// <summary>The first interpreter that runs <paramref name="probe"/>; null where none does.</summary>
    private static async Task<string?> FindAsync(string probe)
    {
        foreach (var python in (string[])["python3", "/usr/bin/python3"])
        {
            try
            {
                if (await RunAsync(python, ["-c", probe], numpy: true) is (0, _))
                {
                    return python;
                }
            }
            catch (System.ComponentModel.Win32Exception)
            {
                // there is no such program
            }
        }

        return null;
    }

    private static async Task<(int ExitCode, string Output)> RunAsync(string python, string[] arguments, bool numpy)
    {
        var start = new ProcessStartInfo(python, arguments) { WorkingDirectory = s_folder, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["PYTHONDONTWRITEBYTECODE"] = "1";
        if (!numpy)
        {
            start.Environment["MYELIN_SIDECAR_NUMPY"] = "0";
        }

        using var process = Process.Start(start)!;
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        timeout.CancelAfter(TimeSpan.FromMinutes(5));
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(timeout.Token);
            var errors = await process.StandardError.ReadToEndAsync(timeout.Token);
            await process.WaitForExitAsync(timeout.Token);
            return (process.ExitCode, errors + await output);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
    }
}
