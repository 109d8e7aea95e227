using System.Globalization;
using System.Text.Json;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks;
using Myelin.Protocol;
using Myelin.Testing;

namespace Myelin.Benchmarks.Transports;

/// <summary>What each way to a model costs: a call that only copies, a model of 5 ms, a real detector.</summary>
internal static class TransportBench
{
    private const int Rounds = 4;

    private static readonly (int Bytes, string Name)[] s_sizes = [(1_000, "1 kB"), (150_000, "150 kB"), (4_915_200, "4.9 MB"), (50_000_000, "50 MB")];
    private static readonly long[] s_picture = [1, 3, 640, 640];
    private static readonly Route s_copy = new("one copy in memory, the limit", "", _ => throw new InvalidOperationException("no runtime"));
    private static readonly TimeSpan s_round = TimeSpan.FromMilliseconds(400);

    /// <param name="parts">Any of <c>calls</c>, <c>model</c> and <c>detector</c>; none for all.</param>
    public static async Task RunAsync(string[] parts)
    {
        var folder = Directory.CreateTempSubdirectory("myelin-bench-").FullName;
        try
        {
            var goals = new Table("goal", "wanted", "measured", "");
            await MakeNetworksAsync(folder);
            await using var routes = new Routes(folder);
            List<Route> networks = [.. routes.All.Where(route => route.Language != "Python")]; // Python has no ONNX Runtime everywhere
            await Parts.RunAsync(
                parts,
                ("calls", () => CallsAsync(routes.All, goals)),
                ("model", () => ModelAsync(networks, goals)),
                ("detector", () => DetectorAsync(networks, folder)));

            goals.Print("Goals");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>A call there and back of a model that only copies, one at a time.</summary>
    private static async Task CallsAsync(List<Route> routes, Table goals)
    {
        var taken = new Dictionary<Route, Latencies>[s_sizes.Length];
        var copies = new double[s_sizes.Length];
        for (var at = 0; at < s_sizes.Length; at++)
        {
            var bytes = s_sizes[at].Bytes;
            taken[at] = await MeasureAsync([.. routes, s_copy], "identity", (runtime, cleanUp) => runtime is null ? Copy(bytes, cleanUp) : Call(runtime, ElementType.UInt8, bytes));
            copies[at] = taken[at][s_copy].P50 / CopiesAtOnce(bytes);
        }

        double P50(int size, string transport) => taken[size][routes.First(route => route.Transport == transport)].P50;
        var http = P50(s_sizes.Length - 1, Route.Http);
        var calls = new Table(["transport", "sidecar", .. s_sizes.Select(size => size.Name), "over native at 1 kB"]);
        var rates = new Table(["transport", "sidecar", .. s_sizes.Select(size => size.Name), "50 MB against HTTP/1.1"]);
        var plot = new LatencyPlot(s_sizes);
        foreach (var route in routes)
        {
            var row = taken.Select(size => size[route]).ToArray();
            calls.Add([route.Transport, route.Language, .. row.Select(latencies => $"{Figure(latencies.P50)} / {Figure(latencies.P99)}"), Figure(row[0].P50 - P50(0, Route.Native))]);
            rates.Add([route.Transport, route.Language, .. row.Select((latencies, at) => $"{Figure(Rate(at, latencies.P50))} ({copies[at] / latencies.P50:P0})"), Figure(http / row[^1].P50) + "×"]);
            plot.Add(route.ToString(), [.. row.Select(latencies => latencies.P50)], dashed: route.Language == "Python");
        }

        calls.Add([s_copy.Transport, "", .. copies.Select(Figure), ""]);
        rates.Add([s_copy.Transport, "", .. copies.Select((copy, at) => Figure(Rate(at, copy))), Figure(http / copies[^1]) + "×"]);
        plot.Limit("one copy in memory", copies);
        calls.Print("A call there and back of a model that only copies, µs p50 / p99");
        rates.Print("The same as GB/s each way (and as a share of one copy in memory)");
        var path = Path.Combine(Shared.Root, "docs", "transports.svg");
        await File.WriteAllTextAsync(path, plot.Write());
        Console.WriteLine($"\nplot: {path}");
        Goal(goals, "a small call to a .NET sidecar, µs p50", "≤ 40", P50(0, Route.Ring), P50(0, Route.Ring) <= 40);
        var gain = http / P50(s_sizes.Length - 1, Route.Ring);
        Goal(goals, "50 MB, uds + ring against HTTP/1.1", "≥ 5", gain, gain >= 5);
    }

    /// <summary>A network of 5 ms that takes and gives a picture of 640×640 floats.</summary>
    private static async Task ModelAsync(List<Route> routes, Table goals)
    {
        foreach (var (model, gives) in new[] { ("five", "4.9 MB back"), ("five-small", "4 bytes back") })
        {
            var taken = await MeasureAsync(routes, model, (runtime, _) => Call(runtime!, ElementType.Float32, s_picture));
            var native = taken[routes[0]].P50;
            var table = new Table("transport", "p50 ms", "p99 ms", "over native ms", "against native");
            foreach (var (route, latencies) in taken)
            {
                table.Add(route.Transport, latencies.P50 / 1000, latencies.P99 / 1000, (latencies.P50 - native) / 1000, latencies.P50 / native);
            }

            table.Print($"A network of {native / 1000:0.0} ms, 4.9 MB there, {gives}");
            var ratio = taken[routes.First(route => route.Transport == Route.Ring)].P50 / native;
            Goal(goals, $"a network of {native / 1000:0.0} ms at 4.9 MB ({gives}), uds + ring against native", "≤ 1.15", ratio, ratio <= 1.15);
        }
    }

    /// <summary>Picture to boxes: decode, scale, infer, read the outputs.</summary>
    private static async Task DetectorAsync(List<Route> routes, string folder)
    {
        var picture = Path.Combine(Shared.Folder, "samples", "images", "winml_dog.jpg");
        if (!File.Exists(picture) || !File.Exists(Path.Combine(folder, "yolox.onnx")))
        {
            Console.WriteLine("\nyolox-nano needs ../shared/zoo and ../shared/samples");
            return;
        }

        var definition = ModelFolder.Load(Path.Combine(folder, "yolox-nano"))[^1];
        var files = new Dictionary<string, TaskFile> { ["image"] = new("image/jpeg", await File.ReadAllBytesAsync(picture)) };
        var parameters = JsonSerializer.SerializeToElement(new { annotate = false });
        var taken = await MeasureAsync(routes, "yolox", async (runtime, cleanUp) =>
        {
            var task = await TaskLoader.CreateAsync(definition, new OneRuntime(runtime!), new ImagingLimits(), CancellationToken.None);
            cleanUp.Add(task);
            return async () => await task.RunAsync(new TaskInput(files, parameters), new Progress<TaskProgress>(), CancellationToken.None);
        });
        var native = taken[routes[0]].P50;
        var table = new Table("transport", "p50 ms", "p99 ms", "pictures/s", "against native");
        foreach (var (route, latencies) in taken)
        {
            table.Add(route.Transport, latencies.P50 / 1000, latencies.P99 / 1000, 1e6 / latencies.P50, latencies.P50 / native);
        }

        table.Print("yolox-nano, a JPEG of 416×416 to boxes");
    }

    /// <summary>Opens a model over every route and lets the routes take turns.</summary>
    private static async Task<Dictionary<Route, Latencies>> MeasureAsync(
        List<Route> routes, string model, Func<IRuntime?, List<IAsyncDisposable>, ValueTask<Func<ValueTask>>> prepare)
    {
        var (cleanUp, calls) = (new List<IAsyncDisposable>(), new Dictionary<Route, Func<ValueTask>>());
        var taken = routes.ToDictionary(route => route, _ => new Latencies());
        foreach (var route in routes)
        {
            var runtime = route == s_copy ? null : await route.OpenAsync(model);
            if (runtime is not null)
            {
                cleanUp.Add(runtime);
            }

            calls[route] = await prepare(runtime, cleanUp);
        }

        for (var round = 0; round < Rounds; round++)
        {
            foreach (var route in routes)
            {
                await taken[route].RoundAsync(calls[route], s_round);
            }
        }

        foreach (var owned in cleanUp)
        {
            await owned.DisposeAsync();
        }

        return taken;
    }

    /// <summary>The same input again and again, lying where the runtime wants it, as preprocessing leaves it.</summary>
    private static ValueTask<Func<ValueTask>> Call(IRuntime runtime, ElementType type, params long[] shape)
    {
        var x = runtime.Rent("x", type, shape);
        x.Bytes.Span.Fill(1);
        return new(async () => (await runtime.InferAsync([x], CancellationToken.None)).Dispose());
    }

    /// <summary>One copy from memory to memory that is mapped as a ring is.</summary>
    private static unsafe ValueTask<Func<ValueTask>> Copy(int bytes, List<IAsyncDisposable> cleanUp)
    {
        var memory = new Pages(2 * (nuint)bytes);
        cleanUp.Add(memory);
        return new(() =>
        {
            // Many in one go where one is too short for the clock.
            for (var i = 0; i < CopiesAtOnce(bytes); i++)
            {
                Buffer.MemoryCopy(memory.Address, memory.Address + bytes, bytes, bytes);
            }

            return default;
        });
    }

    private static int CopiesAtOnce(int bytes) => Math.Max(1, 1_000_000 / bytes);

    private static async Task MakeNetworksAsync(string folder)
    {
        await File.WriteAllBytesAsync(Path.Combine(folder, "identity.onnx"), TinyOnnx.Identity(new TensorSpec("x", ElementType.UInt8, [-1])));
        var takes = new TensorSpec("x", ElementType.Float32, s_picture);
        var count = (int)Math.Max(1, Math.Round(5000 / await PerOperatorAsync(folder, takes)));
        await File.WriteAllBytesAsync(Path.Combine(folder, "five.onnx"), TinyOnnx.Chain(takes, [.. Enumerable.Repeat("Erf", count)]));
        await File.WriteAllBytesAsync(Path.Combine(folder, "five-small.onnx"), TinyOnnx.Chain(takes, [.. Enumerable.Repeat("Erf", count), "ReduceMean"]));
        var catalogue = Path.Combine(AppContext.BaseDirectory, "models", "catalogue", "yolox-nano");
        var weights = Path.Combine(Shared.Folder, "zoo", "yolox_nano.onnx");
        if (File.Exists(weights))
        {
            var revision = Directory.CreateDirectory(Path.Combine(folder, "yolox-nano", "1")).FullName;
            foreach (var file in Directory.EnumerateFiles(catalogue))
            {
                File.Copy(file, Path.Combine(folder, "yolox-nano", Path.GetFileName(file)));
            }

            File.Copy(weights, Path.Combine(revision, "model.onnx"));
            File.Copy(weights, Path.Combine(folder, "yolox.onnx"));
        }
    }

    /// <summary>Microseconds of one operator of the made network, on this machine.</summary>
    private static async Task<double> PerOperatorAsync(string folder, TensorSpec takes)
    {
        const int Operators = 8;
        var path = Path.Combine(folder, "try.bin");
        await File.WriteAllBytesAsync(path, TinyOnnx.Chain(takes, [.. Enumerable.Repeat("Erf", Operators)]));
        await using var runtime = OnnxRuntime.Load(path, new OnnxOptions());
        var (latencies, call) = (new Latencies(), await Call(runtime, takes.Type, takes.Shape));
        for (var round = 0; round < Rounds; round++)
        {
            await latencies.RoundAsync(call, s_round);
        }

        return latencies.P50 / Operators;
    }

    private static void Goal(Table goals, string what, string wanted, double measured, bool met) => goals.Add(what, wanted, measured, met ? "met" : "**missed**");

    private static double Rate(int size, double microseconds) => s_sizes[size].Bytes / microseconds / 1000;

    private static string Figure(double value) => value.ToString(value >= 100 ? "N0" : value >= 10 ? "0.0" : value >= 1 ? "0.00" : "0.000", CultureInfo.InvariantCulture);
}
