using Myelin.Protocol;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Sidecars;

/// <summary>Limits where control groups may not be written, as in most containers: held as far as it goes, and said.</summary>
public sealed class SidecarLimitsTests
{
    [Fact]
    public async Task Limits_ControlGroupsReadOnly_AreSaidAndMemoryIsHeldAllTheSame()
    {
        Assert.SkipUnless(Environment.UserName == "root" && File.Exists("/usr/bin/unshare"), "needs root and unshare, to take control groups away from a server");
        string[] through = ["/usr/bin/unshare", "-m", "sh", "-c", "for d in /sys/fs/cgroup /sys/fs/cgroup/memory /sys/fs/cgroup/cpu; do mountpoint -q $d && mount -o remount,ro,bind $d; done; exec \"$@\"", "limits"];
        await using var server = await SidecarServer.StartAsync(s => s.Write("uds", sidecar: ["memory: 600MiB", "cpus: 0.5"]), through: through);
        (await server.RunAsync()).State.ShouldBe(JobState.Succeeded);

        var process = (await server.ModelAsync()).Runtime!.Processes.Single();

        process.Limits.ShouldBe("rlimit");
        server.Server.Log.ShouldContain("nobody holds sidecar.cpus here");
        var data = (await File.ReadAllLinesAsync($"/proc/{process.Pid}/limits", TestContext.Current.CancellationToken)).Single(l => l.StartsWith("Max data size", StringComparison.Ordinal));
        data.ShouldContain((600L << 20).ToString(System.Globalization.CultureInfo.InvariantCulture));
    }
}
