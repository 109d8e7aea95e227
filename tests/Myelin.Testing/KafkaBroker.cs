using System.Diagnostics;
using System.Globalization;
using Xunit;

namespace Myelin.Testing;

/// <summary>
/// A real Apache Kafka broker on free ports of loopback, from <c>../shared/kafka</c>, with its log in a temporary folder.
/// Ends with the process that started it, however that ends. Most tests share one, started by the first; a test that stops and kills has its own. <c>KAFKA_BOOTSTRAP</c> names
/// another one instead. Without Java or the broker's files the test is skipped.
/// </summary>
public sealed class KafkaBroker : IAsyncDisposable
{
    private static readonly SemaphoreSlim s_gate = new(1);
    private static KafkaBroker? s_shared;

    private readonly string _script = "";
    private readonly string _folder = "";
    private readonly int _port;
    private readonly string _properties = "";
    private readonly Process? _watcher;

    private KafkaBroker(string bootstrap) => Bootstrap = bootstrap;

    private KafkaBroker(string script, int port, string properties)
    {
        (_script, _port, _properties) = (script, port, properties);
        _folder = Directory.CreateTempSubdirectory("myelin-kafka-").FullName;
        Bootstrap = $"127.0.0.1:{port}";

        // Its input ends with this process: whatever happens here, no broker stays behind.
        _watcher = Process.Start(Start($"read -r _; '{_script}' kill; rm -rf '{_folder}'", input: true))!;
    }

    public string Bootstrap { get; }

    /// <summary>The broker of this test run.</summary>
    public static async Task<KafkaBroker> SharedAsync()
    {
        await s_gate.WaitAsync();
        try
        {
            return s_shared ??= Environment.GetEnvironmentVariable("KAFKA_BOOTSTRAP") is { Length: > 0 } given ? new KafkaBroker(given) : await StartOwnAsync();
        }
        finally
        {
            s_gate.Release();
        }
    }

    /// <summary>A broker that a test may stop.</summary>
    /// <param name="properties">Of the broker, beside the usual ones; separated by semicolons.</param>
    public static async Task<KafkaBroker> StartOwnAsync(string properties = "")
    {
        var broker = new KafkaBroker(Require(), ServerProcess.FreePorts(2), properties);
        await broker.StartAsync();
        return broker;
    }

    /// <summary>The script that starts brokers. Skips the test where it, or what it needs, is not there.</summary>
    internal static string Require()
    {
        var script = Shared.Require("kafka", "kafka");
        Assert.SkipUnless(Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(p => File.Exists(Path.Combine(p, "java"))), "needs Java 17 or newer (apt-get install openjdk-17-jre-headless)");
        return script;
    }

    public Task StartAsync() => RunAsync("start");

    /// <summary>SIGTERM; the data stays.</summary>
    public Task StopAsync() => RunAsync("stop");

    /// <summary>SIGKILL, as a crash would; the data stays.</summary>
    public Task KillAsync() => RunAsync("kill");

    /// <summary>One of Kafka's own tools, such as <c>topics --describe</c>; its standard output. Skips the test on a broker that is not ours.</summary>
    public async Task<string> ToolAsync(string arguments)
    {
        Assert.SkipUnless(_script.Length > 0, "needs the tools of ../shared/kafka");
        using var process = Process.Start(Start($"'{_script}' {arguments}", input: false, output: true))!;
        var text = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, $"kafka {arguments} ended with {process.ExitCode}: {text}");
        return text;
    }

    public async ValueTask DisposeAsync()
    {
        if (_watcher is not null)
        {
            _watcher.StandardInput.Close();
            await _watcher.WaitForExitAsync();
            _watcher.Dispose();
        }
    }

    private async Task RunAsync(string command)
    {
        // The broker outlives the script and must not keep a pipe of it open.
        using var process = Process.Start(Start($"'{_script}' {command} >'{_folder}/script.log' 2>&1", input: false))!;
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, $"kafka {command} ended with {process.ExitCode}: {await File.ReadAllTextAsync(Path.Combine(_folder, "script.log"))}");
    }

    private ProcessStartInfo Start(string script, bool input, bool output = false)
    {
        var start = new ProcessStartInfo("bash", ["-c", script]) { RedirectStandardInput = input, RedirectStandardOutput = output };
        start.Environment["KAFKA_DIR"] = _folder;
        start.Environment["KAFKA_PORT"] = _port.ToString(CultureInfo.InvariantCulture);
        start.Environment["KAFKA_HEAP"] = "256m";
        start.Environment["KAFKA_PROPS"] = _properties;
        return start;
    }
}
