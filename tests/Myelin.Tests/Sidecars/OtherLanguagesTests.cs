using System.Diagnostics;
using System.Text.RegularExpressions;
using Myelin.Testing;
using Xunit;

namespace Myelin.Tests.Sidecars;

/// <summary>
/// Runs the Python SDK's own tests (<c>sidecars/python/tests</c>, standard library only), with NumPy and without, since
/// both ways are shipped; and those of the examples.
/// </summary>
public sealed partial class OtherLanguagesTests
{
    private static readonly string s_folder = Path.Combine(Shared.Root, "sidecars", "python", "tests");

    /// <summary>Modules with NumPy and without. Examples a class at a time: what one needs and lacks is a skip of its own.</summary>
    public static TheoryData<string, bool> Modules()
    {
        var modules = new TheoryData<string, bool>();
        foreach (var file in Directory.EnumerateFiles(s_folder, "test_*.py").Order(StringComparer.Ordinal))
        {
            var module = Path.GetFileNameWithoutExtension(file);
            if (module == "test_examples")
            {
                modules.AddRange([.. ExampleClass().Matches(File.ReadAllText(file)).Select(m => new TheoryDataRow<string, bool>($"{module}.{m.Groups[1].Value}", true))]);
                continue;
            }

            modules.Add(module, false);
            modules.Add(module, true);
        }

        return modules;
    }

    [Theory]
    [MemberData(nameof(Modules))]
    public async Task Module_OnThisMachinesPython_Passes(string module, bool numpy)
    {
        var python = await FindAsync(numpy ? "import numpy" : "import sys; sys.exit(sys.version_info < (3, 9))");
        Assert.SkipWhen(python is null, numpy ? "needs a python3 with NumPy (Debian: python3-numpy)" : "needs python3, 3.9 or newer");

        var (exitCode, output) = await RunAsync(python, ["-m", "unittest", "-v", module], numpy);

        Assert.True(exitCode == 0, $"{python} -m unittest {module} ended with {exitCode}:\n{output}");
        var skips = SkippedTest().Matches(output);
        Assert.SkipWhen(skips.Count > 0 && output.Contains($"Ran {skips.Count} test", StringComparison.Ordinal), skips.Count > 0 ? skips[0].Groups[1].Value : "");
    }

    [Fact]
    public async Task NodeExample_OnARealNetwork_Passes()
    {
        var folder = Path.Combine(Shared.Root, "sidecars", "node", "onnxruntime");
        Assert.SkipUnless(Directory.Exists(Path.Combine(folder, "node_modules", "onnxruntime-node")), "needs onnxruntime-node (npm ci --ignore-scripts in sidecars/node/onnxruntime)");
        var start = new ProcessStartInfo("node", ["--test"]) { WorkingDirectory = folder };
        start.Environment["CIFAR10"] = Shared.Zoo("cifar10_ImageClassifier.onnx");

        var (exitCode, output) = await RunAsync(start);

        Assert.True(exitCode == 0 && output.Contains("# skipped 0", StringComparison.Ordinal), $"node --test ended with {exitCode}:\n{output}");
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

    private static Task<(int ExitCode, string Output)> RunAsync(string python, string[] arguments, bool numpy)
    {
        var start = new ProcessStartInfo(python, arguments) { WorkingDirectory = s_folder };
        start.Environment["PYTHONDONTWRITEBYTECODE"] = "1";
        if (!numpy)
        {
            start.Environment["MYELIN_SIDECAR_NUMPY"] = "0";
        }

        return RunAsync(start);
    }

    private static async Task<(int ExitCode, string Output)> RunAsync(ProcessStartInfo start)
    {
        start.RedirectStandardOutput = start.RedirectStandardError = true;
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

    [GeneratedRegex(@"^class (\w+)\(unittest\.TestCase\)", RegexOptions.Multiline, 1000)]
    private static partial Regex ExampleClass();

    [GeneratedRegex("\\.\\.\\. skipped ['\"](.*)['\"]$", RegexOptions.Multiline, 1000)]
    private static partial Regex SkippedTest();
}
