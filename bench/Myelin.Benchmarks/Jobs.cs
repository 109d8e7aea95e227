using System.Diagnostics;
using System.Text;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks;
using Myelin.Protocol;
using Myelin.Testing;

namespace Myelin.Benchmarks;

/// <summary>The job path on one machine: what acceptance, dispatch and pictures cost beside their physical limits.</summary>
internal static class Jobs
{
    private const string IrisInput = """{"model":"iris","input":{"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}}""";

    public static Task RunAsync(string[] parts) => Parts.RunAsync(
        parts, ("accepts", AcceptsAsync), ("refusals", RefusalsAsync), ("latency", LatencyAsync), ("pictures", PicturesAsync));

    /// <summary>Durable accepts: each 202 is a row that survives a power cut. The gateway alone, so that the cores accept and do nothing else.</summary>
    private static async Task AcceptsAsync()
    {
        var table = new Table("clients", "accepts/s", "p50 ms", "p99 ms", "fsync/s of the disk alone", "accepts per fsync", "answers");
        foreach (var clients in new[] { 1, 16, 256 })
        {
            await using var server = await StartAsync(roles: "gateway,coordinator", "mnist", "iris");
            var load = new HttpLoad(server.Address, Request("/v1/jobs", "application/json", Encoding.UTF8.GetBytes(IrisInput)));
            await load.RunAsync(clients, TimeSpan.FromSeconds(2));
            var result = await load.RunAsync(clients, TimeSpan.FromSeconds(6));
            var fsync = Fsyncs(server.Data);
            table.Add(clients, result.PerSecond, result.Percentile(0.5), result.Percentile(0.99), fsync, result.PerSecond / fsync,
                string.Join(", ", result.Statuses.Select(s => $"{s.Key}×{s.Value}")));
        }

        table.Print("Durable accepts");
    }

    /// <summary>Two thousand submissions at the same moment on a full queue.</summary>
    private static async Task RefusalsAsync()
    {
        await using var server = await StartAsync(roles: "gateway,coordinator", queueLimit: 100, "iris");
        var load = new HttpLoad(server.Address, Request("/v1/jobs", "application/json", Encoding.UTF8.GetBytes(IrisInput)));
        await load.RunAsync(64, TimeSpan.FromSeconds(6));
        var empty = new HttpLoad(server.Address, Encoding.ASCII.GetBytes($"GET /health/live HTTP/1.1\r\nHost: {server.Address.Authority}\r\n\r\n"));
        await empty.RunAsync(64, TimeSpan.FromSeconds(2));
        var table = new Table("2,000 at once", "p50 ms", "p99 ms", "longest ms", "answers");
        for (var round = 0; round < 5; round++)
        {
            foreach (var (name, sender) in new[] { ("refused submissions", load), ("an endpoint that does nothing", empty) })
            {
                var result = await sender.BurstAsync(2000);
                table.Add(name, result.Percentile(0.5), result.Percentile(0.99), result.Percentile(1), string.Join(", ", result.Statuses.Select(s => $"{s.Key}×{s.Value}")));
            }
        }

        table.Print("Refusals on a full queue");
    }

    /// <summary>
    /// Submit → result of a trivial network, against the same network called in this process. Where
    /// <c>MYELIN_PREVIOUS_SERVER</c> names another version's server, both take turns: what else the machine does meets both.
    /// </summary>
    private static async Task LatencyAsync()
    {
        const int Rounds = 4;
        var previous = Environment.GetEnvironmentVariable("MYELIN_PREVIOUS_SERVER") is { Length: > 0 } program ? await StartAsync("gateway,worker,coordinator", 10_000_000, ["iris"], program) : null;
        await using var before = previous;
        await using var server = await StartAsync(roles: "gateway,worker,coordinator", "iris");
        var versions = new List<(string Name, HttpLoad Load)> { ("", Waiting(server)) };
        if (before is not null)
        {
            versions.Insert(0, ("the version before: ", Waiting(before)));
        }

        foreach (var (_, load) in versions)
        {
            await load.RunAsync(16, TimeSpan.FromSeconds(6));
        }

        var table = new Table("", "per second", "p50 ms", "p99 ms", "p99.9 ms", "longest ms", "p99.9 over p50", "over 300 ms", "longest fsync meanwhile, ms", "answers");
        foreach (var clients in new[] { 1, 16, 64 })
        {
            var rounds = versions.Select(_ => new List<LoadResult>()).ToArray();
            var disk = versions.Select(_ => 0.0).ToArray();
            for (var round = 0; round < Rounds; round++)
            {
                for (var version = 0; version < versions.Count; version++)
                {
                    using var ended = new CancellationTokenSource();
                    var watch = Task.Run(() => LongestFsync(server.Data, ended.Token));
                    rounds[version].Add(await versions[version].Load.RunAsync(clients, TimeSpan.FromSeconds(5)));
                    await ended.CancelAsync();
                    disk[version] = Math.Max(disk[version], await watch);
                }
            }

            foreach (var ((name, _), runs, longest) in versions.Zip(rounds, disk))
            {
                var jobs = LoadResult.Join(runs);
                table.Add($"{name}submit → result, {clients} clients", jobs.PerSecond, jobs.Percentile(0.5), jobs.Percentile(0.99), jobs.Percentile(0.999), jobs.Percentile(1),
                    jobs.Percentile(0.999) / jobs.Percentile(0.5), jobs.Latencies.Count(l => l > 300), longest, string.Join(", ", jobs.Statuses.Select(s => $"{s.Key}×{s.Value}")));
            }
        }

        var definition = ModelFolder.Load(Path.Combine(server.Data, "models", "iris"))[0];
        await using var runtime = OnnxRuntime.Load(Path.Combine(definition.Folder, "model.onnx"), new OnnxOptions());
        var raw = new List<double>();
        using var input = Tensor.Of<float>(runtime.Inputs[0].Name, ElementType.Float32, [5.1f, 3.5f, 1.4f, 0.2f], 1, 4);
        for (var i = 0; i < 20_000; i++)
        {
            var start = Stopwatch.GetTimestamp();
            using var output = await runtime.InferAsync([input], CancellationToken.None);
            raw.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        raw.Sort();
        table.Add("raw ONNX Runtime call, one after the other", 1000 / raw.Average(), raw[raw.Count / 2], raw[raw.Count * 99 / 100], raw[raw.Count * 999 / 1000], raw[^1], "", "", "", "");
        var fsyncs = Fsyncs(server.Data);
        table.Add("one fsync of the disk", fsyncs, 1000 / fsyncs, "", "", "", "", "", "", "");
        table.Print("Submit to result of a trivial model (the job is stored durably three times: accept, claim, result)");
    }

    /// <summary>Pictures per second end to end, against decode + infer in one process with as many loops as the worker has.</summary>
    private static async Task PicturesAsync()
    {
        var picture = await File.ReadAllBytesAsync(Shared.Sample("test_object_detection_0.jpg"));
        var loops = Environment.ProcessorCount;
        double served;
        await using (var server = await StartAsync(roles: "gateway,worker,coordinator", "yolox-nano"))
        {
            var (body, contentType) = await MultipartAsync(picture);
            var load = new HttpLoad(server.Address, Request("/v1/jobs?wait=30s", contentType, body));
            await load.RunAsync(loops * 4, TimeSpan.FromSeconds(3));
            var result = await load.RunAsync(loops * 4, TimeSpan.FromSeconds(10));
            served = result.PerSecond;
        }

        var folder = Install("yolox-nano", Directory.CreateTempSubdirectory("myelin-bench-").FullName);
        await using (var task = await TaskLoader.CreateAsync(ModelFolder.Load(folder)[0], new OnnxOptions(), new ImagingLimits(), CancellationToken.None))
        {
            await LoopAsync(task, picture, loops, TimeSpan.FromSeconds(2));
            var one = await LoopAsync(task, picture, 1, TimeSpan.FromSeconds(8));
            var all = await LoopAsync(task, picture, loops, TimeSpan.FromSeconds(8));
            var table = new Table("yolox-nano", "pictures/s", "end to end over this");
            table.Add("a bare decode + infer loop in one process", one, served / one);
            table.Add($"{loops} such loops at once, one per core", all, served / all);
            table.Add("end to end: HTTP → storage → bus → worker → result", served, "");
            table.Print("Pictures");
        }
    }

    private static async Task<double> LoopAsync(ITask task, byte[] picture, int loops, TimeSpan duration)
    {
        var parameters = System.Text.Json.JsonDocument.Parse("""{"annotate":false}""").RootElement;
        var files = new Dictionary<string, TaskFile> { ["image"] = new("image/jpeg", picture) };
        var clock = Stopwatch.StartNew();
        var counts = await Task.WhenAll(Enumerable.Range(0, loops).Select(_ => Task.Run(async () =>
        {
            var count = 0;
            for (; clock.Elapsed < duration; count++)
            {
                await task.RunAsync(new TaskInput(files, parameters), new Progress<TaskProgress>(), CancellationToken.None);
            }

            return count;
        })));
        return counts.Sum() / clock.Elapsed.TotalSeconds;
    }

    private static HttpLoad Waiting(ServerProcess server) => new(server.Address, Request("/v1/jobs?wait=10s", "application/json", Encoding.UTF8.GetBytes(IrisInput)));

    private static Task<ServerProcess> StartAsync(string roles, params string[] models) => StartAsync(roles, 10_000_000, models);

    private static Task<ServerProcess> StartAsync(string roles, int queueLimit, params string[] models) => StartAsync(roles, queueLimit, models, ServerProcess.Executable);

    private static async Task<ServerProcess> StartAsync(string roles, int queueLimit, string[] models, string program)
    {
        var server = new ServerProcess(environment: new Dictionary<string, string>
        {
            ["MYELIN_ROLES"] = roles,
            ["MYELIN_JOBS_QUEUE_LIMIT"] = queueLimit.ToString(System.Globalization.CultureInfo.InvariantCulture),
            ["MYELIN_TELEMETRY_LOG_LEVEL"] = "Warning",
        })
        { Program = program };
        foreach (var model in models)
        {
            Install(model, Path.Combine(server.Data, "models"));
        }

        await server.StartAsync();
        return server;
    }

    /// <summary>A model of the catalogue, put into a repository by hand; two instances, so that both cores infer.</summary>
    private static string Install(string name, string repository)
    {
        var source = Path.Combine(AppContext.BaseDirectory, "models", "catalogue", name);
        var target = Directory.CreateDirectory(Path.Combine(repository, name));
        target.CreateSubdirectory("1");
        foreach (var file in Directory.EnumerateFiles(source))
        {
            File.Copy(file, Path.Combine(target.FullName, Path.GetFileName(file)));
        }

        File.AppendAllText(Path.Combine(target.FullName, "model.yaml"), $"\ninstances: {{count: {Environment.ProcessorCount}}}\n");
        var weights = name switch { "iris" => "iris.onnx", "mnist" => "mnist.onnx", _ => "yolox_nano.onnx" };
        File.Copy(Shared.Zoo(weights), Path.Combine(target.FullName, "1", "model.onnx"));
        return target.FullName;
    }

    private static async Task<(byte[] Body, string ContentType)> MultipartAsync(byte[] picture)
    {
        using var form = new MultipartFormDataContent { { new StringContent("yolox-nano"), "model" }, { new StringContent("""{"annotate":false}"""), "parameters" } };
        form.Add(new ByteArrayContent(picture) { Headers = { ContentType = new("image/jpeg") } }, "image", "street.jpg");
        return (await form.ReadAsByteArrayAsync(), form.Headers.ContentType!.ToString());
    }

    public static byte[] Request(string path, string contentType, byte[] body) =>
        [.. Encoding.ASCII.GetBytes($"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {contentType}\r\nContent-Length: {body.Length}\r\n\r\n"), .. body];

    /// <summary>What a stall of the disk or of the machine costs anybody: 4 kB made durable a hundred times a second beside the load.</summary>
    private static double LongestFsync(string folder, CancellationToken ended)
    {
        using var file = new FileStream(Path.Combine(folder, "beside.tmp"), FileMode.Create, FileAccess.Write, FileShare.None, 1);
        var (block, longest) = (new byte[4096], TimeSpan.Zero);
        while (!ended.WaitHandle.WaitOne(10))
        {
            var start = Stopwatch.GetTimestamp();
            file.Write(block);
            file.Flush(flushToDisk: true);
            longest = Stopwatch.GetElapsedTime(start) is var took && took > longest ? took : longest;
        }

        return longest.TotalMilliseconds;
    }

    /// <summary>How often a second this disk makes 4 kB durable, one after the other.</summary>
    private static double Fsyncs(string folder)
    {
        using var file = new FileStream(Path.Combine(folder, "fsync.tmp"), FileMode.Create, FileAccess.Write, FileShare.None, 1);
        var block = new byte[4096];
        var clock = Stopwatch.StartNew();
        var count = 0;
        for (; clock.Elapsed < TimeSpan.FromSeconds(1); count++)
        {
            file.Write(block);
            file.Flush(flushToDisk: true);
        }

        return count / clock.Elapsed.TotalSeconds;
    }
}
