using System.Diagnostics;
using System.Text.Json;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks;
using Myelin.Protocol;
using Myelin.Testing;

namespace Myelin.Benchmarks;

/// <summary>Image generation in this process: how much of a job is the runtime, what joining jobs would bring, what a cold start costs.</summary>
internal static class Generation
{
    public static async Task RunAsync()
    {
        var models = Models().ToList();
        if (models.Count == 0)
        {
            Console.WriteLine("needs models/emoji-diffusion or ../shared/goldens/tiny-sd");
            return;
        }

        await ShareAsync(models);
        await BatchingAsync(models);
        await ColdStartAsync(models);
    }

    /// <summary>A 20-step job: wall time, and the part of it inside the runtime.</summary>
    private static async Task ShareAsync(List<(ModelDefinition Model, int Side)> models)
    {
        var table = new Table("model", "size", "jobs", "s per job", "steps/s", "share inside the runtime");
        foreach (var (model, side) in models)
        {
            await using var task = await LoadAsync(model);
            await RunAsync(task, side, seed: 0);
            var (shares, watch) = (new List<double>(), Stopwatch.StartNew());
            while (watch.Elapsed < TimeSpan.FromSeconds(10) || shares.Count < 3)
            {
                shares.Add(await RunAsync(task, side, seed: shares.Count));
            }

            var seconds = watch.Elapsed.TotalSeconds / shares.Count;
            table.Add(model.Name, $"{side}×{side}", shares.Count, seconds, 20 / seconds, shares.Order().ElementAt(shares.Count / 2).ToString("P1"));
        }

        table.Print("A job of 20 steps with guidance");
    }

    /// <summary>The guided pair of one job per call, against several jobs' pairs in one call.</summary>
    private static async Task BatchingAsync(List<(ModelDefinition Model, int Side)> models)
    {
        var table = new Table("model", "size", "jobs in a call", "job-steps/s", "against one by one", "same bytes");
        foreach (var (model, side) in models)
        {
            await using var unet = OnnxRuntime.Load(Path.Combine(model.Folder, "unet", "model.onnx"), Options());
            var (alone, first) = (0.0, Array.Empty<byte>());
            foreach (var jobs in new[] { 1, 2, 4, 8 })
            {
                var inputs = unet.Inputs.Select(spec => Random(spec, jobs * 2, side / 8)).ToList();
                var bytes = await CallAsync(unet, inputs, 2 / (double)(jobs * 2));
                var (calls, watch) = (0, Stopwatch.StartNew());
                while (watch.Elapsed < TimeSpan.FromSeconds(3) || calls < 3)
                {
                    using var outputs = await unet.InferAsync(inputs, CancellationToken.None);
                    calls++;
                }

                var rate = calls * jobs / watch.Elapsed.TotalSeconds;
                (alone, first) = jobs == 1 ? (rate, bytes) : (alone, first);
                table.Add(model.Name, $"{side}×{side}", jobs, rate, rate / alone, bytes.AsSpan().SequenceEqual(first) ? "yes" : "no");
                inputs.ForEach(i => i.Dispose());
            }
        }

        table.Print("Joining equal-shaped jobs");
    }

    /// <summary>From nothing to a loaded task, then its first job of one step.</summary>
    private static async Task ColdStartAsync(List<(ModelDefinition Model, int Side)> models)
    {
        var table = new Table("model", "MB on disk", "load ms", "first job ms", "second job ms");
        foreach (var (model, side) in models)
        {
            var bytes = new DirectoryInfo(model.Folder).EnumerateFiles("*", SearchOption.AllDirectories).Sum(f => f.Length);
            var watch = Stopwatch.StartNew();
            await using var task = await LoadAsync(model);
            var loaded = watch.Elapsed;
            await RunAsync(task, side, seed: 1, steps: 1);
            var first = watch.Elapsed;
            await RunAsync(task, side, seed: 1, steps: 1);
            table.Add(model.Name, bytes / 1e6, loaded.TotalMilliseconds, (first - loaded).TotalMilliseconds, (watch.Elapsed - first).TotalMilliseconds);
        }

        table.Print("Cold start");
    }

    private static IEnumerable<(ModelDefinition Model, int Side)> Models()
    {
        var builtIn = Path.Combine(Shared.Root, "models", "emoji-diffusion");
        if (ModelFolder.TryLoad(builtIn, out var definitions, out _))
        {
            yield return (definitions[^1], 64);
        }

        var golden = Path.Combine(Environment.GetEnvironmentVariable("MYELIN_SHARED") ?? Path.Combine(Shared.Root, "..", "shared"), "goldens", "tiny-sd");
        if (Directory.Exists(golden))
        {
            var tiny = new ModelDefinition
            {
                Name = "tiny-sd",
                Revision = "1",
                Task = TaskNames.TextToImage,
                ModelFolder = golden,
                Folder = golden,
                Settings = JsonSerializer.SerializeToElement(new { }),
            };
            yield return (tiny, 64);
            yield return (tiny, 256);
        }
    }

    private static OnnxOptions Options() => new() { IntraOpThreads = Environment.ProcessorCount };

    private static Task<ITask> LoadAsync(ModelDefinition model) => TaskLoader.CreateAsync(model, Options(), new ImagingLimits(), CancellationToken.None);

    /// <returns>The share of the job's time inside the runtime.</returns>
    private static async Task<double> RunAsync(ITask task, int side, int seed, int steps = 20)
    {
        var parameters = JsonSerializer.SerializeToElement(new { prompt = "red apple", steps, seed, width = side, height = side, guidance = 5, sampler = "ddim" });
        var result = await task.RunAsync(new TaskInput(new Dictionary<string, TaskFile>(), parameters), new Nowhere(), CancellationToken.None);
        return JsonDocument.Parse(result.Json).RootElement.GetProperty("timings").GetProperty("runtimeShare").GetDouble();
    }

    /// <summary>The bytes of the first rows, to compare between batches.</summary>
    private static async Task<byte[]> CallAsync(IRuntime unet, List<Tensor> inputs, double part)
    {
        using var outputs = await unet.InferAsync(inputs, CancellationToken.None);
        return outputs[0].Bytes.Span[..(int)(outputs[0].Bytes.Length * part)].ToArray();
    }

    private static Tensor Random(TensorSpec spec, int batch, int cells)
    {
        long[] shape = [.. spec.Shape.Select((d, axis) => d >= 0 ? d : axis == 0 ? batch : spec.Name == "sample" ? cells : 77)];
        var random = new Random(1);
        var values = Enumerable.Range(0, (int)Tensor.Elements(shape)).Select(_ => (float)((random.NextDouble() * 2) - 1)).ToArray();
        return Tensor.Of<float>(spec.Name, ElementType.Float32, spec.Name == "timestep" ? [500f] : values, shape);
    }

    private sealed class Nowhere : IProgress<TaskProgress>
    {
        public void Report(TaskProgress value)
        {
        }
    }
}
