using System.Diagnostics;
using Xunit;

namespace Myelin.Testing;

/// <summary>Official Python clients from <c>../shared/clients</c>, driven by scripts in <c>tests/clients/python</c>.</summary>
public static class PythonClients
{
    private const string Interpreter = "python3.11"; // what the clients' binary parts were built for

    private static readonly Lazy<Task<string?>> s_missing = new(InstallAsync);

    private static string Packages => Path.Combine(Shared.Root, ".cache", "clients");

    /// <summary>Runs a script and returns its standard output; fails the test with what it wrote to the error output.</summary>
    public static async Task<string> RunAsync(string script, params string[] arguments)
    {
        Shared.Require("clients");
        var missing = await s_missing.Value;
        Assert.SkipUnless(missing is null, missing ?? "");
        var (code, output, errors) = await StartAsync([Path.Combine(Shared.Root, "tests", "clients", "python", script), .. arguments]);
        Assert.True(code == 0, $"{script} ended with {code}:\n{errors}");
        return output;
    }

    /// <summary>Unpacks the clients once; says what is missing where that does not work.</summary>
    private static async Task<string?> InstallAsync()
    {
        if (Directory.Exists(Path.Combine(Packages, "tritonclient")))
        {
            return null;
        }

        try
        {
            var (code, _, errors) = await StartAsync(
                ["-m", "pip", "install", "-q", "--no-index", "--find-links", Path.Combine(Shared.Folder, "clients"), "--target", Packages, "tritonclient[http]"]);
            return code == 0 ? null : $"the official clients do not install: {errors}";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return $"needs {Interpreter}, which is not here";
        }
    }

    private static async Task<(int Code, string Output, string Errors)> StartAsync(string[] arguments)
    {
        var start = new ProcessStartInfo(Interpreter, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["PYTHONPATH"] = Packages;
        using var python = Process.Start(start)!;
        using var timeout = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        try
        {
            var output = python.StandardOutput.ReadToEndAsync(timeout.Token);
            var errors = await python.StandardError.ReadToEndAsync(timeout.Token);
            await python.WaitForExitAsync(timeout.Token);
            return (python.ExitCode, await output, errors);
        }
        finally
        {
            if (!python.HasExited)
            {
                python.Kill(entireProcessTree: true);
            }
        }
    }
}
