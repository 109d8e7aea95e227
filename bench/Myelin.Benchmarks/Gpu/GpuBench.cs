using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks;
using Myelin.Protocol;
using Myelin.Testing;

namespace Myelin.Benchmarks.Gpu;

/// <summary>
/// Detectors, a generation of Stable Diffusion 1.5's size and a batched classifier on a device. Each network's output is held
/// to the processor's on the same input. <c>--device cpu</c> runs the same path where there is no GPU.
/// </summary>
internal static class GpuBench
{
    /// <summary>Of the output, relative to its own length: what a GPU's TF32 convolutions differ by, with room.</summary>
    private const double Tolerance = 0.01;

    private static readonly TimeSpan s_duration = TimeSpan.FromSeconds(5);

    public static async Task<int> RunAsync(string[] args)
    {
        var device = Option(args, "--device", "cuda");
        var side = int.Parse(Option(args, "--side", "512"), CultureInfo.InvariantCulture);
        var width = args.Contains("--small") ? 160 : 320;
        var options = new OnnxOptions { Device = device, IntraOpThreads = Environment.ProcessorCount };
        Console.WriteLine($"device {device}, ONNX Runtime {OnnxEnvironment.Initialise()}, tolerance {Tolerance:P0} of the output's length");
        try
        {
            var off = 0;
            var parts = new (string Name, Func<Task<int>> Run)[] { ("detectors", () => DetectorsAsync(options)), ("classifier", () => ClassifierAsync(options)), ("generation", () => GenerationAsync(options, width, side)) };
            foreach (var (_, run) in parts.Any(part => args.Contains(part.Name)) ? parts.Where(part => args.Contains(part.Name)) : parts)
            {
                off += await run();
            }

            Console.WriteLine(off == 0 ? $"\nall outputs are the processor's within {Tolerance:P0}" : $"\n{off} outputs differ from the processor's by more than {Tolerance:P0}");
            return off == 0 ? 0 : 1;
        }
        catch (Exception fault) when (fault is RuntimeException or ModelException)
        {
            Console.WriteLine(fault.Message);
            return 1;
        }
    }

    /// <summary>A picture's bytes to its boxes, one after the other.</summary>
    private static async Task<int> DetectorsAsync(OnnxOptions options)
    {
        var (table, off) = (new Table("detector", "pictures/s", "ms a picture", "of it in the network", "output against the processor's", "memory MB"), 0);
        var picture = await File.ReadAllBytesAsync(Path.Combine(Shared.Root, "samples", "street.jpg"));
        foreach (var (name, weights) in Detectors())
        {
            using var folder = new TemporaryFolder();
            Install(folder.Path, name, weights, options.Device);
            var file = Path.Combine(folder.Path, name, "1", "model.onnx");
            var error = await CompareAsync(file, options, 1);
            await using var task = await TaskLoader.CreateAsync(ModelFolder.Load(Path.Combine(folder.Path, name)).Single(), options, new ImagingLimits(), CancellationToken.None);
            var parameters = JsonSerializer.SerializeToElement(new { annotate = false });
            var input = new TaskInput(new Dictionary<string, TaskFile> { ["image"] = new("image/jpeg", picture) }, parameters);
            var seconds = await SecondsAsync(() => task.RunAsync(input, new Progress<TaskProgress>(), CancellationToken.None));
            await using var runtime = OnnxRuntime.Load(file, options);
            var inputs = Inputs(runtime, 1);
            var alone = await SecondsAsync(async () => (await runtime.InferAsync(inputs, CancellationToken.None)).Dispose());
            inputs.ForEach(tensor => tensor.Dispose());
            table.Add(name, 1 / seconds, seconds * 1000, (alone / seconds).ToString("P0", CultureInfo.InvariantCulture), Verdict(error, ref off), Memory(options.Device));
        }

        table.Print("Detectors: a JPEG to its boxes, one after the other");
        return off;
    }

    private static async Task<int> ClassifierAsync(OnnxOptions options)
    {
        var (table, off) = (new Table("ResNet-50, random weights", "pictures/s", "against one by one", "output against the processor's", "memory MB"), 0);
        var folder = Path.Combine(Cache, "resnet-50");
        if (!Made(folder))
        {
            new RandomNetworks(320).WriteClassifier(folder);
        }

        var file = Path.Combine(folder, "model.onnx");
        var alone = 0.0;
        foreach (var batch in new[] { 1, 8, 32 })
        {
            var error = await CompareAsync(file, options, batch);
            await using var runtime = OnnxRuntime.Load(file, options);
            var inputs = Inputs(runtime, batch);
            var rate = batch / await SecondsAsync(async () => (await runtime.InferAsync(inputs, CancellationToken.None)).Dispose());
            inputs.ForEach(tensor => tensor.Dispose());
            alone = batch == 1 ? rate : alone;
            table.Add($"{batch} in a call", rate, rate / alone, Verdict(error, ref off), Memory(options.Device));
        }

        table.Print("A batched classifier");
        return off;
    }

    private static async Task<int> GenerationAsync(OnnxOptions options, int width, int side)
    {
        var off = 0;
        var folder = Path.Combine(Cache, $"sd-{width}");
        if (!Made(Path.Combine(folder, "vae_decoder")))
        {
            foreach (var (part, parameters) in new RandomNetworks(width).WriteDiffusion(folder))
            {
                Console.Error.WriteLine($"  {part}: {parameters:N0} parameters");
            }
        }

        var checks = new Table("part", "output against the processor's");
        foreach (var part in new[] { "text_encoder", "unet", "vae_decoder" })
        {
            checks.Add(part, Verdict(await CompareAsync(Path.Combine(folder, part, "model.onnx"), options, part == "vae_decoder" ? 1 : 2, cells: 32), ref off));
        }

        var definition = new ModelDefinition
        {
            Name = $"sd-{width}",
            Revision = "1",
            Task = TaskNames.TextToImage,
            ModelFolder = folder,
            Folder = folder,
            Settings = JsonSerializer.SerializeToElement(new { components = new { memoryMiB = 16_384 } }),
            Instances = new ModelInstances { Device = options.Device },
        };
        var watch = Stopwatch.StartNew();
        await using var task = await TaskLoader.CreateAsync(definition, options, new ImagingLimits(), CancellationToken.None);
        var load = watch.Elapsed.TotalSeconds;
        var (one, _) = await JobAsync(task, side, 1);
        (one, _) = await JobAsync(task, side, 1);
        var steps = one > 5 ? 2 : 20;
        var (many, share) = await JobAsync(task, side, steps);
        var step = (many - one) / (steps - 1);
        var table = new Table("", "size", "load s", "s a job", "steps/s", "pictures/s of 20 steps", "share inside the runtime", "memory MB");
        table.Add($"UNet of {width} channels, guidance", $"{side}×{side}", load, many, 1 / step, 1 / (one + (19 * step)), share.ToString("P1", CultureInfo.InvariantCulture), Memory(options.Device));
        table.Print("Generation");
        checks.Print("Its parts");
        return off;
    }

    private static async Task<(double Seconds, double Share)> JobAsync(ITask task, int side, int steps)
    {
        var parameters = JsonSerializer.SerializeToElement(new { prompt = "red apple", steps, seed = 1, width = side, height = side, guidance = 5, sampler = "ddim" });
        var watch = Stopwatch.StartNew();
        var result = await task.RunAsync(new TaskInput(new Dictionary<string, TaskFile>(), parameters), new Progress<TaskProgress>(), CancellationToken.None);
        return (watch.Elapsed.TotalSeconds, JsonDocument.Parse(result.Json).RootElement.GetProperty("timings").GetProperty("runtimeShare").GetDouble());
    }

    /// <summary>The same network on the same input, on the device and on the processor.</summary>
    /// <returns>The largest distance of an output's numbers over its length.</returns>
    private static async Task<double> CompareAsync(string file, OnnxOptions options, int batch, int cells = 64)
    {
        var outputs = new List<List<float[]>>();
        foreach (var device in new[] { options.Device, "cpu" })
        {
            await using var runtime = OnnxRuntime.Load(file, options with { Device = device });
            var inputs = Inputs(runtime, batch, cells);
            using var given = await runtime.InferAsync(inputs, CancellationToken.None);
            outputs.Add([.. given.Where(tensor => tensor.Type == ElementType.Float32).Select(tensor => System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(tensor.Bytes.Span).ToArray())]);
            inputs.ForEach(tensor => tensor.Dispose());
        }

        return outputs[0].Zip(outputs[1], (mine, right) => Math.Sqrt(mine.Zip(right, (a, b) => Math.Pow(a - (double)b, 2)).Sum() / Math.Max(right.Sum(b => Math.Pow(b, 2)), 1e-12))).Max();
    }

    private static List<Tensor> Inputs(OnnxRuntime runtime, int batch, int cells = 64) => [.. runtime.Inputs.Select(spec =>
    {
        long[] shape = [.. spec.Shape.Select((length, axis) => length >= 0 ? length : axis == 0 ? batch : cells)];
        var (random, count) = (new Random(1), (int)Tensor.Elements(shape));
        return spec.Type == ElementType.Int64
            ? Tensor.Of<long>(spec.Name, spec.Type, [.. Enumerable.Range(0, count).Select(_ => (long)random.Next(2000))], shape)
            : Tensor.Of<float>(spec.Name, spec.Type, [.. Enumerable.Range(0, count).Select(_ => spec.Name == "timestep" ? 500f : (2 * random.NextSingle()) - 1)], shape);
    })];

    /// <summary>Of one call, the median over five seconds, once warm.</summary>
    private static async Task<double> SecondsAsync(Func<Task> call)
    {
        await call();
        await call();
        var (seconds, watch) = (new List<double>(), Stopwatch.StartNew());
        while (watch.Elapsed < s_duration || seconds.Count < 3)
        {
            var start = Stopwatch.GetTimestamp();
            await call();
            seconds.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return seconds.Order().ElementAt(seconds.Count / 2);
    }

    private static string Verdict(double error, ref int off)
    {
        off += error <= Tolerance ? 0 : 1; // not a number is off, too
        return $"{error.ToString("0.0e+0", CultureInfo.InvariantCulture)} {(error <= Tolerance ? "✓" : "✗")}";
    }

    /// <summary>Of the device as its driver tells; of this process where the device is the processor.</summary>
    private static double Memory(string device)
    {
        if (device == "cpu")
        {
            return Environment.WorkingSet / 1e6;
        }

        using var tool = Process.Start(new ProcessStartInfo("nvidia-smi", ["--query-gpu=memory.used", "--format=csv,noheader,nounits", $"--id={(device.Split(':') is [_, var index] ? index : "0")}"]) { RedirectStandardOutput = true })!;
        return double.Parse(tool.StandardOutput.ReadToEnd().Trim(), CultureInfo.InvariantCulture) * 1.048576;
    }

    /// <summary>Those whose weights are at hand: the built-in one, and the catalogue's in the mirror or beside the checkout.</summary>
    private static IEnumerable<(string Name, string Weights)> Detectors()
    {
        string[] places = [Environment.GetEnvironmentVariable("MYELIN_MODEL_MIRROR") ?? "", Path.Combine(Shared.Folder, "zoo")];
        foreach (var (name, file) in new[] { ("faces", ""), ("yolox-nano", "yolox_nano.onnx"), ("yunet", "yunet_n_640_640.onnx"), ("ultraface", "version-RFB-320.onnx"), ("fastestdet", "FastestDet.onnx") })
        {
            var weights = file.Length == 0 ? Path.Combine(AppContext.BaseDirectory, "models", name, "1", "model.onnx") : places.Select(place => Path.Combine(place, file)).FirstOrDefault(File.Exists);
            if (File.Exists(weights))
            {
                yield return (name, weights);
            }
            else
            {
                Console.WriteLine($"left out: {name}, whose weights are not here{(file.Length == 0 ? " (npm ci)" : $": put {file} into the folder that MYELIN_MODEL_MIRROR names")}");
            }
        }
    }

    private static void Install(string repository, string name, string weights, string device)
    {
        var source = new[] { Path.Combine(AppContext.BaseDirectory, "models", "catalogue", name), Path.Combine(AppContext.BaseDirectory, "models", name) }.First(Directory.Exists);
        var target = Directory.CreateDirectory(Path.Combine(repository, name));
        target.CreateSubdirectory("1");
        foreach (var file in Directory.EnumerateFiles(source).Where(file => !file.EndsWith("catalogue.yaml", StringComparison.Ordinal)))
        {
            File.Copy(file, Path.Combine(target.FullName, Path.GetFileName(file)));
        }

        File.AppendAllText(Path.Combine(target.FullName, "model.yaml"), $"\ninstances: {{device: '{device}'}}\n");
        File.Copy(weights, Path.Combine(target.FullName, "1", "model.onnx"));
    }

    private static string Cache => Path.Combine(Shared.Root, ".cache", "gpu");

    private static bool Made(string folder) => File.Exists(Path.Combine(folder, "model.onnx"));

    private static string Option(string[] args, string name, string otherwise) => Array.IndexOf(args, name) is var at && at >= 0 && at + 1 < args.Length ? args[at + 1] : otherwise;
}
