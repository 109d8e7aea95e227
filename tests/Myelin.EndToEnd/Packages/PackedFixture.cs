using System.Diagnostics;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Packages;

/// <summary>What <c>./dev pack</c> makes, made once for this machine's platform, and one server of this build to talk to.</summary>
public sealed class PackedFixture : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();

    public ServerProcess Server { get; } = new();

    /// <summary>The files themselves.</summary>
    public string Artifacts => _folder.Combine("artifacts");

    public string Version { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        Version = (await RunAsync("dotnet", ["msbuild", "src/Myelin.Protocol", "-getProperty:Version"], Shared.Root)).Trim();
        await RunAsync(Path.Combine(Shared.Root, "deploy", "pack", "pack"), ["nuget", "tool", "server", "deb", "python", "--platform", "linux-x64", "--output", Artifacts], Shared.Root);
        await Server.StartAsync(TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        _folder.Dispose();
    }

    /// <summary>A folder of this fixture that a test may fill.</summary>
    public string Folder(string name) => Directory.CreateDirectory(_folder.Combine(name)).FullName;

    /// <summary>Runs a program to its end.</summary>
    /// <returns>What it printed to its output; a status other than 0 fails the test with both outputs.</returns>
    public async Task<string> RunAsync(string program, IEnumerable<string> arguments, string folder)
    {
        var start = new ProcessStartInfo(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        // Nothing that is installed here may be found in, or left in, the machine's own caches.
        start.Environment["NUGET_PACKAGES"] = _folder.Combine("packages");
        start.Environment["DOTNET_CLI_HOME"] = _folder.Combine("home");
        start.Environment["DOTNET_NOLOGO"] = "1";
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        if (folder == Shared.Root)
        {
            start.Environment.Remove("NUGET_PACKAGES"); // packing is an ordinary build of this tree
        }

        using var process = Process.Start(start)!;
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        process.ExitCode.ShouldBe(0, $"{program} {string.Join(' ', start.ArgumentList)}\n{await output}\n{await errors}");
        return await output;
    }
}
