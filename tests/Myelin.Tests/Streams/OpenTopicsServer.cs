using System.Diagnostics;
using System.Globalization;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Testing;
using Xunit;

namespace Myelin.Tests.Streams;

/// <summary>One server for the tests of a class: every role, a real broker, jobs and every stream open, no prefix, as docs/kafka.md shows it.</summary>
public sealed class OpenTopicsServer : IAsyncLifetime
{
    private RunningServer? _server;

    /// <summary>Of the server: smaller than the picture of street.jpg, larger than the other samples.</summary>
    public const int MaxBytes = 300_000;

    internal RunningServer Server => _server!;

    internal IBus Bus => Server.Get<IBus>();

    public string Brokers { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        Brokers = (await KafkaBroker.SharedAsync()).Bootstrap;
        _server = await RunningServer.StartAsync(o => o with
        {
            Bus = new BusOptions { Kafka = new KafkaOptions { Bootstrap = Brokers, Partitions = 2, Instance = Guid.NewGuid().ToString("n") } },
            OpenTopics = new OpenTopicsOptions { Streams = "door,porch,*", Jobs = true, Tenant = "kafka", Backlog = 0 },
            Input = o.Input with { MaxBytes = MaxBytes },
        });
    }

    public async ValueTask DisposeAsync() => await (_server?.DisposeAsync() ?? ValueTask.CompletedTask);

    /// <summary>The sum of the series of a page of metrics whose line begins so.</summary>
    public static double Measure(string page, string beginning) => page.Split('\n')
        .Where(l => l.StartsWith(beginning, StringComparison.Ordinal))
        .Sum(l => double.Parse(l[(l.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));

    /// <summary>Runs a program; its standard output as bytes. Skips the test where it is not installed.</summary>
    public static Task<byte[]> RunAsync(string program, params string[] arguments) => RunInAsync("/", program, arguments);

    public static async Task<byte[]> RunInAsync(string folder, string program, params string[] arguments)
    {
        Assert.SkipUnless(
            program.StartsWith('/') ? File.Exists(program) : Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(p => File.Exists(Path.Combine(p, program))),
            $"needs {program} (./dev test installs it as root)");
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder })!;
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        var errors = process.StandardError.ReadToEndAsync(timeout.Token);
        using var output = new MemoryStream();
        await process.StandardOutput.BaseStream.CopyToAsync(output, timeout.Token);
        await process.WaitForExitAsync(timeout.Token);
        Assert.SkipWhen((await errors).Contains("No module named 'kafka'", StringComparison.Ordinal), "needs python3-kafka (./dev test installs it as root)");
        Assert.True(process.ExitCode == 0, $"{program} ended with {process.ExitCode}: {await errors}");
        return output.ToArray();
    }
}
