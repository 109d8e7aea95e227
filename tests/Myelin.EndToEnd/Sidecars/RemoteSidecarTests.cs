using System.Diagnostics;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Sidecars;

/// <summary>Sidecars that others run, at addresses.</summary>
public sealed class RemoteSidecarTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Job_TwoHttpServers_ShareTheWorkAndOneLostFailsNoJob()
    {
        var settings = new Dictionary<string, string> { ["MYELIN_SIDECARS_HEALTH_INTERVAL"] = "00:00:00.2", ["MYELIN_SIDECARS_HEALTH_TIMEOUT"] = "00:00:01", ["MYELIN_WORKER_CONCURRENCY"] = "4" };
        int[] ports = [ServerProcess.FreePort(), ServerProcess.FreePort()];
        await using var server = await SidecarServer.StartAsync(s => s.Write("http", sidecar: $"addresses: [{string.Join(", ", ports.Select(p => $"'http://127.0.0.1:{p}'"))}]"), settings);
        (await server.ModelAsync()).State.ShouldNotBe("ready", "nobody is there yet");
        using var a = Start(server, ports[0]);
        using var b = Start(server, ports[1]);
        try
        {
            var first = await server.RunAsync();
            first.State.ShouldBe(JobState.Succeeded, first.Error?.Detail);
            await Wait.UntilAsync(async () => (await server.ModelAsync()).Runtime!.Processes.All(p => p.State == "ready"), "both are found");
            var both = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => server.RunAsync("""{"steps": 10}""")));
            both.Select(j => j.Result!.Value.GetProperty("pid").GetInt32()).Distinct().Order().ShouldBe(new[] { a.Id, b.Id }.Order());

            var running = Enumerable.Range(0, 8).Select(_ => server.RunAsync("""{"steps": 20}""")).ToList();
            await Wait.UntilAsync(async () => (await server.ModelAsync()).Runtime!.Processes.All(p => p.Calls > 0), "both are busy");
            a.Kill();
            await a.WaitForExitAsync(Token);

            (await Task.WhenAll(running)).ShouldAllBe(j => j.State == JobState.Succeeded && j.Attempt == 1);
            await Wait.UntilAsync(async () => (await server.ModelAsync()).Runtime!.Processes[0].State == "restarting", "the lost one is seen as lost");
            var model = await server.ModelAsync();
            (model.State, model.Runtime!.State).ShouldBe(("ready", "ready"));
            model.Runtime.Processes[0].Error.ShouldNotBeNull();

            using var back = Start(server, ports[0]);
            await Wait.UntilAsync(async () => (await server.ModelAsync()).Runtime!.Processes[0].State == "ready", "it is used again");
            back.Kill();
        }
        finally
        {
            b.Kill();
        }
    }

    private static Process Start(SidecarServer server, int port)
    {
        var start = new ProcessStartInfo("/usr/bin/python3", [Path.Combine(server.Models, "looker", "serve.py"), "--listen", $"http://127.0.0.1:{port}"]) { RedirectStandardError = true };
        start.Environment["PYTHONPATH"] = SidecarServer.PythonPath;
        var process = Process.Start(start)!;
        process.ErrorDataReceived += static (_, _) => { };
        process.BeginErrorReadLine();
        return process;
    }
}
