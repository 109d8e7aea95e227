using System.Security.Cryptography;
using Myelin.Client;
using Myelin.Inference.Imaging;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Sidecars;

/// <summary>A picture goes in over HTTP, through a job, a worker and a process of somebody's Python, and the answer comes back.</summary>
public sealed class SidecarJobTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("uds")]
    [InlineData("http")]
    public async Task Job_WholeTaskInASidecar_GivesResultAndArtifact(string runtime)
    {
        await using var server = await SidecarServer.StartAsync(s => s.Write(runtime));

        var job = await server.RunAsync("""{"steps": 3}""");

        job.State.ShouldBe(JobState.Succeeded, job.Error?.Detail);
        var picture = await File.ReadAllBytesAsync(SidecarServer.Picture, Token);
        job.Result!.Value.GetProperty("sha256").GetString().ShouldBe(Convert.ToHexStringLower(SHA256.HashData(picture)));
        (await server.Server.Http.GetByteArrayAsync(new Uri(job.Artifacts.Single().Url!, UriKind.Relative), Token)).ShouldBe(picture);
        job.Artifacts.Single().ContentType.ShouldBe("image/jpeg");

        var model = await server.ModelAsync();
        (model.State, model.Runtime!.Kind, model.Runtime.Transport, model.Runtime.State).ShouldBe(("ready", "sidecar", runtime, "ready"));
        model.Runtime.Product.ShouldNotBeNull().ShouldStartWith("myelin-python");
        model.Runtime.Processes.Single().Pid.ShouldBe(job.Result!.Value.GetProperty("pid").GetInt32());
        (await server.MetricAsync("""myelin_sidecar_up{model="looker"}""")).ShouldBe(1);
        (await server.MetricAsync("""myelin_sidecar_calls_total{model="looker",outcome="succeeded"}""")).ShouldBe(1);
        (await server.Server.TerminateAsync(TimeSpan.FromSeconds(30))).ShouldBe(0);
        Processes.IsAlive(model.Runtime.Processes.Single().Pid!.Value).ShouldBeFalse("a sidecar ends with its worker");
    }

    [Fact]
    public async Task Job_SidecarKilledInMidJob_SucceedsOnAFreshOneInTheSameAttempt()
    {
        await using var server = await SidecarServer.StartAsync(s => s.Write("uds"));
        (await server.RunAsync()).State.ShouldBe(JobState.Succeeded);
        var pid = await server.PidAsync();
        var submitted = await server.SubmitAsync("""{"steps": 60}""");
        await Wait.UntilAsync(async () => (await server.Client.GetAsync(submitted.Id, Token)).Progress is { Step: >= 3 }, "the job is in the middle");

        Processes.Kill(pid);
        var job = await server.Client.WaitAsync(submitted.Id, Token);

        job.State.ShouldBe(JobState.Succeeded, job.Error?.Detail);
        job.Attempt.ShouldBe(1, "the worker repeats the call, not the job");
        job.Result!.Value.GetProperty("pid").GetInt32().ShouldNotBe(pid);
        var process = (await server.ModelAsync()).Runtime!.Processes.Single();
        process.Restarts.ShouldBe(1);
        (await server.MetricAsync("""myelin_sidecar_restarts_total{model="looker"}""")).ShouldBe(1);
        (await server.MetricAsync("""myelin_sidecar_retries_total{model="looker"}""")).ShouldBe(1);
    }

    [Theory]
    [InlineData("uds", "hang")]
    [InlineData("http", "hang")]
    [InlineData("uds", "freeze")]
    [InlineData("http", "freeze")]
    public async Task Job_SidecarHangs_FailsByNameAndTheProcessIsReplaced(string runtime, string mode)
    {
        // `hang` never returns but answers pings: the deadline finds it. `freeze` is stopped whole: the pings find it.
        var settings = new Dictionary<string, string> { ["MYELIN_SIDECARS_HEALTH_INTERVAL"] = "00:00:00.3", ["MYELIN_SIDECARS_HEALTH_TIMEOUT"] = "00:00:01.5" };
        await using var server = await SidecarServer.StartAsync(s => s.Write(runtime, sidecar: mode == "hang" ? "callTimeout: 2s" : "callTimeout: 10m"), settings);
        (await server.RunAsync()).State.ShouldBe(JobState.Succeeded);
        var pid = await server.PidAsync();

        var job = await server.RunAsync($$"""{"mode": "{{mode}}"}""");

        job.State.ShouldBe(JobState.Failed);
        job.Error!.Type.ShouldBe(ProblemTypes.RuntimeDeadline, job.Error.Detail);
        await Wait.UntilAsync(() => !Processes.IsAlive(pid), "the hung process is killed");
        var next = await server.RunAsync();
        next.State.ShouldBe(JobState.Succeeded, next.Error?.Detail);
        next.Result!.Value.GetProperty("pid").GetInt32().ShouldNotBe(pid);
    }

    [Fact]
    public async Task Job_InputThatKillsSidecars_FailsByNameAndTheModelIsGivenUpUntilReloaded()
    {
        var settings = new Dictionary<string, string> { ["MYELIN_SIDECARS_MAX_CRASHES"] = "4", ["MYELIN_SIDECARS_RESTART_DELAY"] = "00:00:00.05" };
        await using var server = await SidecarServer.StartAsync(s => s.Write("uds"), settings);

        var job = await server.RunAsync("""{"mode": "crash"}""");

        job.Error!.Type.ShouldBe(ProblemTypes.RuntimeCrashed, job.Error.Detail);
        job.Error.Detail!.ShouldContain("exit code 7");
        job.Error.Detail!.ShouldNotContain("the lens is broken", Case.Sensitive, "what it wrote may hold other people's inputs");
        job.Attempt.ShouldBe(1);
        (await server.RunAsync()).State.ShouldBe(JobState.Succeeded);

        (await server.RunAsync("""{"mode": "crash"}""")).State.ShouldBe(JobState.Failed);
        await Wait.UntilAsync(async () => (await server.ModelAsync()).State == "broken", "four crashes within a minute");
        var model = await server.ModelAsync();
        model.Errors[0].Message.ShouldContain("given up after 4 failures");
        model.Errors[0].Message.ShouldNotContain("the lens is broken");
        model.Errors[0].Log.ShouldNotBeNull().ShouldContain("the lens is broken", Case.Sensitive, "on loopback without keys the one owner asks");
        (await Should.ThrowAsync<MyelinException>(() => server.RunAsync())).Problem.Type.ShouldBe(ProblemTypes.ModelUnavailable);

        await server.Client.ReloadModelAsync("looker", Token);
        var again = await server.RunAsync();
        again.State.ShouldBe(JobState.Succeeded, again.Error?.Detail);
        (await server.ModelAsync()).State.ShouldBe("ready");
    }

    [Fact]
    public async Task Job_NumpyExampleCopiedAsItsReadmeSays_BlursThePicture()
    {
        using (var probe = System.Diagnostics.Process.Start("/usr/bin/python3", ["-c", "import numpy"]))
        {
            await probe.WaitForExitAsync(Token);
            Assert.SkipUnless(probe.ExitCode == 0, "needs Debian's python3-numpy");
        }

        await using var server = await SidecarServer.StartAsync(s =>
        {
            CopyFolder(Path.Combine(SidecarServer.PythonPath, "examples", "numpy_blur"), Path.Combine(s.Models, "numpy_blur"));
            CopyFolder(Path.Combine(SidecarServer.PythonPath, "myelin_sidecar"), Path.Combine(s.Models, "numpy_blur", "myelin_sidecar"));
        });

        var job = await server.RunAsync(model: "numpy_blur");

        job.State.ShouldBe(JobState.Succeeded, job.Error?.Detail);
        var blurred = await server.Server.Http.GetByteArrayAsync(new Uri(job.Artifacts.Single().Url!, UriKind.Relative), Token);
        using var before = Picture.Decode(await File.ReadAllBytesAsync(SidecarServer.Picture, Token), new ImagingLimits());
        using var after = Picture.Decode(blurred, new ImagingLimits());
        (after.Width, after.Height).ShouldBe((before.Width, before.Height));
        Sharpness(after).ShouldBeLessThan(Sharpness(before) / 2);
        Sharpness(after).ShouldBeGreaterThan(0.1, "it is still a picture");
        (await server.MetricAsync("""myelin_sidecar_ring_size_bytes{model="numpy_blur"}""")).ShouldBeGreaterThan(0);
    }

    /// <summary>Mean difference of neighbours in a row, in steps of 255.</summary>
    private static double Sharpness(Picture picture)
    {
        var pixels = picture.Pixels.Span;
        var sum = 0L;
        for (var i = 3; i < pixels.Length; i++)
        {
            sum += Math.Abs(pixels[i] - pixels[i - 3]);
        }

        return (double)sum / pixels.Length;
    }

    private static void CopyFolder(string from, string to)
    {
        foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories).Where(f => !f.Contains("__pycache__", StringComparison.Ordinal)))
        {
            var target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }
}
