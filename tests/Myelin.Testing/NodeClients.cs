using System.Diagnostics;
using Xunit;

namespace Myelin.Testing;

/// <summary>Official clients from npm, driven by small scripts in <c>tests/clients/node</c>; <c>./dev test</c> installs them.</summary>
public static class NodeClients
{
    private static string Folder => Path.Combine(Shared.Root, "tests", "clients", "node");

    /// <summary>Runs a script and returns its standard output; fails the test with what it wrote to the error output.</summary>
    public static async Task<string> RunAsync(string script, params string[] arguments)
    {
        Assert.SkipUnless(Directory.Exists(Path.Combine(Folder, "node_modules")), "needs the clients of tests/clients/node (./dev test installs them)");
        var start = new ProcessStartInfo("node", [script, .. arguments])
        {
            WorkingDirectory = Folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var node = Process.Start(start)!;
        using var timeout = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        var output = node.StandardOutput.ReadToEndAsync(timeout.Token);
        var errors = await node.StandardError.ReadToEndAsync(timeout.Token);
        await node.WaitForExitAsync(timeout.Token);
        Assert.True(node.ExitCode == 0, $"{script} ended with {node.ExitCode}:\n{errors}");
        return await output;
    }
}
