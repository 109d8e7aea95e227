using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Gateway;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Telemetry;

public sealed partial class MetricsTests
{
    [Fact]
    public async Task Metrics_AfterAJob_HoldOurNamesTritonsAndTheProcess()
    {
        await using var server = await RunningServer.StartAsync();
        (await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg()), "?wait=60s")).State.ShouldBe(JobState.Succeeded);

        var text = await server.Http.GetStringAsync("/metrics");

        CheckFormat(text);
        string[] names =
        [
            "myelin_jobs_accepted_total{model=\"faces\"} 1", "nv_inference_request_success{model=\"faces\",version=\"1\"} 1",
            "nv_inference_count{model=\"faces\",version=\"1\"} 1", "nv_inference_exec_count{model=\"faces\",version=\"1\"} 1",
            "nv_inference_request_duration_us{", "nv_inference_queue_duration_us{", "nv_inference_compute_input_duration_us{",
            "nv_inference_compute_infer_duration_us{", "nv_inference_compute_output_duration_us{",
            "process_cpu_seconds_total ", "process_resident_memory_bytes ", "process_open_fds ", "dotnet_gc_collections_total{",
            "http_server_request_duration_seconds_bucket{", "le=\"+Inf\"} ",
        ];
        foreach (var name in names)
        {
            text.ShouldContain(name);
        }

        Value(text, "nv_inference_compute_infer_duration_us{model=\"faces\",version=\"1\"}").ShouldBeGreaterThan(0);
    }

    /// <summary>The stages of a generation lie within its time: a sum that is reported beside them is not counted again.</summary>
    [Fact]
    public async Task Metrics_AfterAGeneration_StagesAddUpToNoMoreThanTheRequest()
    {
        await using var server = await RunningServer.StartAsync();
        using var body = new StringContent("""{"model":"emoji-diffusion","parameters":{"prompt":"cat","steps":4}}""", null, "application/json");
        (await server.Http.SubmitAsync(body, "?wait=60s")).State.ShouldBe(JobState.Succeeded);

        var text = await server.Http.GetStringAsync("/metrics");

        double Of(string part) => Value(text, $"nv_inference_{part}_duration_us{{model=\"emoji-diffusion\",version=\"1\"}}");
        (Of("queue") + Of("compute_input") + Of("compute_infer") + Of("compute_output")).ShouldBeInRange(1, Of("request"));
    }

    [Fact]
    public async Task Metrics_PassPrometheusOwnCheck()
    {
        var promtool = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(p => Path.Combine(p, "promtool")).FirstOrDefault(File.Exists);
        Assert.SkipUnless(promtool is not null, "needs promtool (apt-get install prometheus), which is not here");
        await using var server = await RunningServer.StartAsync(services: InstantTask.Install);
        await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg()), "?wait=60s");
        var text = await server.Http.GetStringAsync("/metrics");
        using var process = Process.Start(new ProcessStartInfo(promtool!, "check metrics") { RedirectStandardInput = true, RedirectStandardError = true, RedirectStandardOutput = true })!;
        await process.StandardInput.WriteAsync(text);
        process.StandardInput.Close();
        var complaints = await process.StandardError.ReadToEndAsync() + await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();

        // Lint on names that are not ours to choose (Triton's, the runtime's) is no fault of the format.
        complaints.Split('\n', StringSplitOptions.RemoveEmptyEntries).ShouldAllBe(l => l.StartsWith("nv_") || l.StartsWith("dotnet_") || l.StartsWith("kestrel_") || l.StartsWith("http_"));
    }

    [Fact]
    public async Task Health_LiveAndReady_AreTold()
    {
        await using var server = await RunningServer.StartAsync(worker: false);

        (await server.Http.GetStringAsync("/health/live")).ShouldContain("live");
        (await server.Http.GetAsync("/health/ready")).IsSuccessStatusCode.ShouldBeTrue();
    }

    [Fact]
    public async Task Ready_WithLittleDisk_Is503()
    {
        await using var server = await RunningServer.StartAsync(o => o with { Jobs = o.Jobs with { MinimumFreeBytes = long.MaxValue } }, worker: false);

        var response = await server.Http.GetAsync("/health/ready");

        ((int)response.StatusCode).ShouldBe(503);
        (await response.Content.ReadAsStringAsync()).ShouldContain("disk");
        (await server.Http.PostForProblemAsync("/v1/jobs", Http.Faces(Pictures.Jpeg()))).Type.ShouldBe(ProblemTypes.StorageFull);
    }

    /// <summary>The text format's grammar: HELP and TYPE once per family before its samples, buckets that grow up to the count.</summary>
    private static void CheckFormat(string text)
    {
        text.ShouldEndWith("\n");
        var (family, kind) = ("", "");
        var seen = new HashSet<string>();
        var lines = new HashSet<string>();
        var bucket = 0d;
        foreach (var line in text.TrimEnd('\n').Split('\n'))
        {
            if (line.StartsWith("# TYPE ", StringComparison.Ordinal))
            {
                var parts = line.Split(' ');
                (family, kind) = (parts[2], parts[3]);
                kind.ShouldBeOneOf("counter", "gauge", "histogram");
                seen.Add(family).ShouldBeTrue($"{family} twice");
            }
            else if (!line.StartsWith("# HELP ", StringComparison.Ordinal))
            {
                var match = Sample().Match(line);
                match.Success.ShouldBeTrue(line);
                var name = match.Groups[1].Value;
                (kind == "histogram" ? name is var n && (n == family + "_bucket" || n == family + "_sum" || n == family + "_count") : name == family).ShouldBeTrue($"{line} in {family}");
                lines.Add(line[..line.LastIndexOf(' ')]).ShouldBeTrue($"{line} twice");
                var value = double.Parse(match.Groups[3].Value.Replace("+Inf", "Infinity", StringComparison.Ordinal), CultureInfo.InvariantCulture);
                bucket = name.EndsWith("_bucket", StringComparison.Ordinal) ? Grows(bucket, value, line) : 0;
            }
        }

        static double Grows(double before, double value, string line)
        {
            if (!line.Contains("le=\"0.001\"", StringComparison.Ordinal) && !line.Contains("le=\"0.005\"", StringComparison.Ordinal))
            {
                value.ShouldBeGreaterThanOrEqualTo(before, line);
            }

            return line.Contains("+Inf", StringComparison.Ordinal) ? 0 : value;
        }
    }

    private static double Value(string text, string series) =>
        double.Parse(text.Split('\n').Single(l => l.StartsWith(series, StringComparison.Ordinal))[series.Length..], CultureInfo.InvariantCulture);

    [GeneratedRegex("""^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\.)*",?)*\})? (-?[0-9.eE+-]+|\+Inf|-Inf|NaN)$""")]
    private static partial Regex Sample();
}
