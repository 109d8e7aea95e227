using System.Text;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Sidecars;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Sidecars;

/// <summary>Starting, limiting and ending real processes.</summary>
public sealed class SupervisorTests
{
    private static readonly CancellationToken s_token = TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("uds")]
    [InlineData("http")]
    public async Task Open_GoodSidecar_AnswersAndIsDescribed(string transport)
    {
        await using var models = new SidecarModels();
        var definition = models.Write(sidecar: $"transport: {transport}");
        await using var runtime = await models.RunAsync(definition);

        using var x = Tensor.Of<float>("x", ElementType.Float32, [1, 2, 3], 3);
        using var outputs = await runtime.InferAsync([x], s_token);

        outputs["y"].As<float>().ToArray().ShouldBe([2, 4, 6]);
        runtime.Capabilities.Transport.ShouldBe(transport);
        runtime.Capabilities.Concurrency.ShouldBe(4);
        var status = models.Supervisor.Find(definition)!;
        status.State.ShouldBe(SidecarState.Ready);
        status.Transport.ShouldBe(transport);
        status.Product.ShouldNotBeNull().ShouldStartWith("myelin-python");
        status.Endpoints.Single().Pid.ShouldNotBeNull();
        status.Errors.ShouldBeEmpty();
        status.Counters.Succeeded.ShouldBe(1);
    }

    [Fact]
    public async Task Dispose_Source_LeavesNoProcessAndNoFile()
    {
        await using var models = new SidecarModels();
        var source = await models.OpenAsync(models.Write());
        var runtime = await source.OpenAsync("model.onnx", s_token);
        var pid = await SidecarModels.CallAsync(runtime, "pid");
        Directory.GetFiles(models.RunFolder, "*.pid", SearchOption.AllDirectories).Length.ShouldBe(1);

        await runtime.DisposeAsync();
        await source.DisposeAsync();

        SidecarModels.IsAlive(pid).ShouldBeFalse();
        Directory.GetFileSystemEntries(models.RunFolder, "*", SearchOption.AllDirectories).Select(Path.GetFileName).Where(f => !f!.StartsWith("w-", StringComparison.Ordinal)).ShouldBe(["lock"]);
        models.Supervisor.List().ShouldBeEmpty();
        models.Supervisor.Totals().Single().Counters.Succeeded.ShouldBe(1, "sums outlive the processes");
    }

    [Fact]
    public async Task Start_Environment_IsTheProtocolsAndNothingElse()
    {
        Environment.SetEnvironmentVariable("MYELIN_TEST_SECRET", "hunter2");
        await using var models = new SidecarModels();
        var definition = models.Write(sidecar: "memory: 4GiB");
        await using var runtime = await models.RunAsync(definition);

        using var ask = SidecarModels.Number("environment", 0);
        using var outputs = await runtime.InferAsync([ask], s_token);

        var lines = Encoding.UTF8.GetString(outputs["text"].Bytes.Span[4..]).Split('\n');
        var variables = lines.Select(l => l.Split('=', 2)).ToDictionary(p => p[0], p => p[1]);
        variables["MYELIN_SIDECAR_LISTEN"].ShouldStartWith("unix:" + models.RunFolder);
        variables["MYELIN_MODEL_NAME"].ShouldBe("many");
        variables["MYELIN_MODEL_REVISION"].ShouldBe("1");
        variables["MYELIN_MODEL_FOLDER"].ShouldBe(definition.ModelFolder);
        variables["MYELIN_REVISION_FOLDER"].ShouldBe(definition.Folder);
        variables["CUDA_VISIBLE_DEVICES"].ShouldBe("");
        variables["CWD"].ShouldBe(definition.ModelFolder);
        variables.Keys.Except(["PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "STARTUP", "CUDA_VISIBLE_DEVICES", "PWD", "CWD", "UID", "OLDPWD", "_", "SHLVL", "LC_CTYPE",
            "MYELIN_SIDECAR_LISTEN", "MYELIN_MODEL_NAME", "MYELIN_MODEL_REVISION", "MYELIN_MODEL_FOLDER", "MYELIN_REVISION_FOLDER", "MYELIN_SIDECAR_FOLDER"]).ShouldBeEmpty();
    }

    [Theory]
    [InlineData("cpu", null, "")]
    [InlineData("cpu", "0,1", "")]
    [InlineData("cuda", null, null)]
    [InlineData("cuda", "2,3", "2,3")]
    [InlineData("cuda:1", null, "1")]
    [InlineData("cuda:1", "2,3", "3")]
    [InlineData("cuda:5", "2,3", "")]
    public void Devices_OfTheModel_AreCountedAmongTheWorkers(string device, string? visible, string? expected) =>
        SidecarEnvironment.Devices(device, visible).ShouldBe(expected);

    [Fact]
    public async Task Start_ProgramThatIsNotThere_IsBrokenAtOnceAndNamesIt()
    {
        await using var models = new SidecarModels();
        var definition = models.Write() with { Sidecar = new ModelSidecar { Command = ["no-such-program", "--x"] } };

        var fault = await Should.ThrowAsync<ModelException>(() => models.OpenAsync(definition));

        fault.Errors.Single().Message.ShouldContain("there is no program 'no-such-program'");
        models.Supervisor.List().ShouldBeEmpty();
    }

    [Fact]
    public async Task Start_NotReadyInTime_SaysSoAndLeavesNothing()
    {
        await using var models = new SidecarModels(new SidecarOptions { RunFolder = "", MaxCrashes = 2 });
        var definition = models.Write(sidecar: "startTimeout: 700ms", startup: "never");

        var fault = await Should.ThrowAsync<ModelException>(() => models.OpenAsync(definition));

        fault.Message.ShouldContain("not ready within 0.7 s");
        Directory.GetFiles(models.RunFolder, "*.pid", SearchOption.AllDirectories).ShouldBeEmpty();
    }

    [Fact]
    public async Task Start_CrashLoop_IsGivenUpWithTheLastLinesOfTheLog()
    {
        await using var models = new SidecarModels(new SidecarOptions { RunFolder = "", MaxCrashes = 3 });

        var fault = await Should.ThrowAsync<ModelException>(() => models.OpenAsync(models.Write(startup: "exit")));

        fault.Message.ShouldContain("given up after 3 failures");
        fault.Message.ShouldContain("exit code 3");
        fault.Message.ShouldNotContain("the flux capacitor", Case.Insensitive, "a message goes to everybody");
        fault.Errors.Single().Log.ShouldNotBeNull().ShouldContain("the flux capacitor is missing");
        models.Log.Count(line => line.Contains("started as process", StringComparison.Ordinal)).ShouldBe(3);
    }

    [Fact]
    public async Task Start_SidecarThatCannotLoad_IsQuoted()
    {
        await using var models = new SidecarModels(new SidecarOptions { RunFolder = "", MaxCrashes = 1 });

        var fault = await Should.ThrowAsync<ModelException>(() => models.OpenAsync(models.Write(startup: "refuse")));

        fault.Message.ShouldContain("no such weights");
    }

    [Fact]
    public async Task Start_NetworkOfAnotherName_IsTakenWhereItIsTheOnlyOne()
    {
        await using var models = new SidecarModels();
        await using var runtime = await models.RunAsync(models.Write(network: "resnet"));

        (await SidecarModels.CallAsync(runtime, "pid")).ShouldBeGreaterThan(1);
    }

    [Fact]
    public async Task Log_TooMuchAndTooLong_IsCutAndCounted()
    {
        await using var models = new SidecarModels(new SidecarOptions { RunFolder = "", LogLinesPerSecond = 20, LogLineLength = 300 });
        var definition = models.Write(startup: "log");
        await using var source = await models.OpenAsync(definition);

        models.Log.Count(line => line.StartsWith("many: line", StringComparison.Ordinal)).ShouldBeLessThan(60);
        models.Log.Max(line => line.Length).ShouldBeLessThan(1200);
    }

    [Fact]
    public async Task Stop_ChildrenOfTheSidecar_EndWithIt()
    {
        await using var models = new SidecarModels();
        var source = await models.OpenAsync(models.Write(startup: "child"));
        await Wait.UntilAsync(() => models.Log.Any(l => l.Contains("many: child ", StringComparison.Ordinal)), "the child's pid in the log");
        var child = int.Parse(models.Log.First(l => l.Contains("many: child ", StringComparison.Ordinal)).Split(' ')[^1]);
        SidecarModels.IsAlive(child).ShouldBeTrue();

        await source.DisposeAsync();

        await Wait.UntilAsync(() => !SidecarModels.IsAlive(child), "the child has ended");
    }

    /// <summary>What a daemon does; the group's end does not reach it.</summary>
    [Fact]
    public async Task Stop_ChildWithASessionOfItsOwn_EndsToo()
    {
        await using var models = new SidecarModels();
        var source = await models.OpenAsync(models.Write(startup: "daemon"));
        await Wait.UntilAsync(() => models.Log.Any(l => l.Contains("many: child ", StringComparison.Ordinal)), "the child's pid in the log");
        var child = int.Parse(models.Log.First(l => l.Contains("many: child ", StringComparison.Ordinal)).Split(' ')[^1]);
        SidecarModels.IsAlive(child).ShouldBeTrue();

        await source.DisposeAsync();

        await Wait.UntilAsync(() => !SidecarModels.IsAlive(child), "the child has ended");
    }

    /// <summary>Only the variable itself tells whose a process is, not a text that looks like it.</summary>
    [Fact]
    public async Task Stop_ProcessesThatOnlyNameTheFolder_LiveOn()
    {
        await using var models = new SidecarModels();
        var definition = models.Write();
        var source = await models.OpenAsync(definition);
        var folder = Path.GetDirectoryName(models.Supervisor.Find(definition)!.Endpoints.Single().Address.Split(':')[1])!;
        using var other = Sleep("NOTES", $"MYELIN_SIDECAR_FOLDER={folder}");
        using var neighbour = Sleep("MYELIN_SIDECAR_FOLDER", folder + "7");
        using var stray = Sleep("MYELIN_SIDECAR_FOLDER", folder);

        await source.DisposeAsync();

        await stray.WaitForExitAsync(s_token);
        (other.HasExited, neighbour.HasExited).ShouldBe((false, false));
        other.Kill();
        neighbour.Kill();

        static System.Diagnostics.Process Sleep(string name, string value) =>
            System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("/bin/sleep", "600") { Environment = { [name] = value } })!;
    }

    /// <summary>Nobody waits for space: whoever opens hears of it, and opens again.</summary>
    [Fact]
    public async Task Start_DiskIsFull_IsSaidAtOnceAndWorksOnceThereIsSpace()
    {
        using var disk = SmallDisk.Mount(1);
        await using var models = new SidecarModels(new SidecarOptions { RunFolder = "", MaxCrashes = 2, MaxRestartDelay = TimeSpan.FromMilliseconds(50) });
        models.Options = models.Options with { RunFolder = Path.Combine(disk.Path, "run") };
        Directory.CreateDirectory(models.RunFolder);
        models.Supervisor.Initialise();
        var filler = Path.Combine(disk.Path, "filler");
        Should.Throw<IOException>(() => File.WriteAllBytes(filler, new byte[2 << 20]));

        var definition = models.Write();
        var fault = await Should.ThrowAsync<ModelException>(() => models.OpenAsync(definition));
        fault.Transient.ShouldBeTrue();
        fault.Message.ShouldContain("could not be started");
        File.Delete(filler);

        await using var runtime = await models.RunAsync(definition);
        (await SidecarModels.CallAsync(runtime, "pid")).ShouldBeGreaterThan(1);
    }

    /// <summary>One that was there is started again without end: for longer than failed starts are counted.</summary>
    [Fact]
    public async Task Crash_WhileTheDiskIsFull_ComesBackOnceThereIsSpace()
    {
        using var disk = SmallDisk.Mount(1);
        await using var models = new SidecarModels(new SidecarOptions { RunFolder = "", MaxCrashes = 2, MaxRestartDelay = TimeSpan.FromMilliseconds(50) });
        models.Options = models.Options with { RunFolder = Path.Combine(disk.Path, "run") };
        var definition = models.Write();
        await using var runtime = await models.RunAsync(definition);
        var filler = Path.Combine(disk.Path, "filler");

        await Wait.UntilAsync(() =>
        {
            Should.Throw<IOException>(() => File.WriteAllBytes(filler, new byte[2 << 20])); // what the last try left again
            if (models.Supervisor.Find(definition)!.Endpoints.Single().Pid is { } alive)
            {
                Kill(alive); // also one that found space between two looks
            }

            return models.Log.Count(line => line.Contains("could not be started", StringComparison.Ordinal)) > 3;
        });
        File.Delete(filler);

        (await SidecarModels.CallAsync(runtime, "pid")).ShouldBeGreaterThan(1);

        static void Kill(int process)
        {
            try
            {
                System.Diagnostics.Process.GetProcessById(process).Kill();
            }
            catch (Exception e) when (e is ArgumentException or InvalidOperationException)
            {
                // Gone already.
            }
        }
    }

    [Fact]
    public async Task Memory_OverTheLimit_EndsTheProcessAndNotTheWorker()
    {
        await using var models = new SidecarModels();
        var definition = models.Write(sidecar: "memory: 128MiB");
        await using var runtime = await models.RunAsync(definition);
        var limits = models.Supervisor.Find(definition)!.Endpoints.Single().Limits;
        limits.ShouldBeOneOf("cgroup", "rlimit");
        (await SidecarModels.CallAsync(runtime, "memory", 16 << 20)).ShouldBeGreaterThan(1);

        var fault = await Should.ThrowAsync<RuntimeException>(() => SidecarModels.CallAsync(runtime, "memory", 512 << 20));

        fault.Retryable.ShouldBeFalse();
        fault.Message.ShouldContain(limits == "cgroup" ? "more memory than sidecar.memory allows" : "MemoryError");
        (await SidecarModels.CallAsync(runtime, "pid")).ShouldBeGreaterThan(1, "it goes on after that");
    }

    [Fact]
    public async Task Cpus_Limit_IsHeldByTheKernelWhereItCan()
    {
        await using var models = new SidecarModels();
        var definition = models.Write(sidecar: "cpus: 0.5");
        await using var source = await models.OpenAsync(definition);
        var endpoint = models.Supervisor.Find(definition)!.Endpoints.Single();
        Assert.SkipUnless(endpoint.Limits == "cgroup", "needs control groups that may be written");

        var cpu = File.ReadAllLines($"/proc/{endpoint.Pid}/cgroup").First(l => l.Contains("myelin-sidecar-", StringComparison.Ordinal));
        cpu.ShouldContain("many-1");
        var group = cpu.Split(':')[2];
        var (two, one) = ($"/sys/fs/cgroup{group}/cpu.max", $"/sys/fs/cgroup/cpu{group}/cpu.cfs_quota_us");
        File.ReadAllText(File.Exists(two) ? two : one).Split(' ')[0].Trim().ShouldBe("50000", "half of the period of 100000 µs");
        await source.DisposeAsync();
        (File.Exists(two) || File.Exists(one)).ShouldBeFalse("the group goes with its process");
    }

    [Fact]
    public async Task Start_DeviceOfTheModel_IsAllThatTheSidecarSees()
    {
        await using var models = new SidecarModels();
        await using var runtime = await models.RunAsync(models.Write(top: "instances: {device: 'cuda:1'}"));

        using var ask = SidecarModels.Number("environment", 0);
        using var outputs = await runtime.InferAsync([ask], s_token);

        var expected = SidecarEnvironment.Devices("cuda:1", Environment.GetEnvironmentVariable("CUDA_VISIBLE_DEVICES"));
        Encoding.UTF8.GetString(outputs["text"].Bytes.Span[4..]).Split('\n').ShouldContain($"CUDA_VISIBLE_DEVICES={expected}");
    }

    [Fact]
    public async Task Start_ProgramThatWantsAPort_IsGivenAFreeOneAndSpokenToOverHttp()
    {
        await using var models = new SidecarModels();
        var definition = models.Write();
        definition = definition with { Sidecar = definition.Sidecar! with { Command = ["/usr/bin/python3", "serve.py", "--listen", "http://127.0.0.1:{port}"] } };
        await using var runtime = await models.RunAsync(definition);

        (await SidecarModels.CallAsync(runtime, "pid")).ShouldBe(models.Supervisor.Find(definition)!.Endpoints.Single().Pid!.Value);
        models.Supervisor.Find(definition)!.Transport.ShouldBe("http");
        models.Supervisor.Find(definition)!.Endpoints.Single().Address.ShouldStartWith("http://127.0.0.1:");
    }

    [Theory]
    [InlineData("uds")]
    [InlineData("http")]
    public async Task Open_DotNetSidecar_IsStartedCalledAndReplacedAfterACrash(string transport)
    {
        await using var models = new SidecarModels();
        var definition = models.Write() with
        {
            Sidecar = new ModelSidecar { Command = [Path.Combine(AppContext.BaseDirectory, "Myelin.TestSidecar")], Transport = transport, Model = "double" },
        };
        await using var runtime = await models.RunAsync(definition);
        using var x = Tensor.Of<float>("x", ElementType.Float32, [1, 2, 3], 3);
        var pid = models.Supervisor.Find(definition)!.Endpoints.Single().Pid!.Value;

        System.Diagnostics.Process.GetProcessById(pid).Kill();
        using var outputs = await runtime.InferAsync([x], s_token);

        outputs["y"].As<float>().ToArray().ShouldBe([2, 4, 6]);
        models.Supervisor.Find(definition)!.Endpoints.Single().Pid.ShouldNotBe(pid);
        models.Supervisor.Find(definition)!.Counters.Restarts.ShouldBe(1);
    }

    [Fact]
    public async Task Open_ServerThatStartsNothing_SaysSo()
    {
        await using var models = new SidecarModels();
        models.Options = models.Options with { Start = false };

        var fault = await Should.ThrowAsync<ModelException>(() => models.OpenAsync(models.Write()));

        fault.Errors.Single().Key.ShouldBe("sidecar.command");
        fault.Message.ShouldContain("sidecars.start is off");
    }

    [Fact]
    public async Task User_OtherThanRoot_RunsAsThatUserAndStillSharesMemory()
    {
        Assert.SkipUnless(Environment.UserName == "root", "needs root");
        await using var models = new SidecarModels();
        System.Diagnostics.Process.Start("chmod", ["755", models.Root]).WaitForExit();
        var definition = models.Write(sidecar: "user: nobody");
        await using var runtime = await models.RunAsync(definition);

        using var ask = SidecarModels.Number("environment", 0);
        using var outputs = await runtime.InferAsync([ask], s_token);

        Encoding.UTF8.GetString(outputs["text"].Bytes.Span).ShouldContain("UID=65534");
        models.Supervisor.Find(definition)!.Counters.RingBytes.ShouldBe(8 << 20);
    }
}
