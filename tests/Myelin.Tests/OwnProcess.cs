using System.Diagnostics;
using Shouldly;
using Xunit;

namespace Myelin.Tests;

/// <summary>Runs a test in a process of its own: what it does to that process meets no other test.</summary>
internal static class OwnProcess
{
    private const string Marker = "MYELIN_TEST_OWN_PROCESS";

    /// <summary>Starts this program again for the present test method alone and holds its end to be good; false inside that program, where the test itself runs.</summary>
    public static async Task<bool> RanAsync(CancellationToken cancellationToken)
    {
        if (Environment.GetEnvironmentVariable(Marker) is not null)
        {
            return false;
        }

        var test = TestContext.Current.TestMethod!;
        var start = new ProcessStartInfo(Environment.ProcessPath!, ["--no-ansi", "--progress", "off", "--filter-method", $"{test.TestClass.TestClassName}.{test.MethodName}"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { [Marker] = "1" },
        };
        using var process = Process.Start(start)!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(cancellationToken), process.StandardError.ReadToEndAsync(cancellationToken));
        await process.WaitForExitAsync(cancellationToken);
        process.ExitCode.ShouldBe(0, await output + await error);
        (await output).ShouldContain("failed: 0");
        (await output).ShouldNotContain("succeeded: 0");
        return true;
    }
}
