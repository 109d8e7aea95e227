using Myelin.Benchmarks;
using Myelin.Benchmarks.Gpu;
using Myelin.Benchmarks.Transports;

if (args is ["sidecar", var folder])
{
    return await BenchSidecar.ServeAsync(folder); // the other end of `transports`
}

if (args is ["gpu", ..])
{
    return await GpuBench.RunAsync(args[1..]); // its status says whether the outputs are right
}

var benchmarks = new Dictionary<string, (string Help, Func<Task> Run)>
{
    ["jobs"] = ("durable accepts, submit → result (beside the server that MYELIN_PREVIOUS_SERVER names), pictures per second; [accepts] [refusals] [latency] [pictures]", () => Jobs.RunAsync(args[1..])),
    ["storage"] = ("durable inserts of the store alone", Storage.RunAsync),
    ["lists"] = ("a page of 100 queued jobs of 1,000,000, with positions", Lists.RunAsync),
    ["upkeep"] = ("lost leases found while a million blobs are purged and swept; [blobs]", () => Upkeep.RunAsync(args[1..])),
    ["distributed"] = ("embedded, PostgreSQL, PostgreSQL + Kafka with 1, 2, 4 workers; 100,000 queued jobs; [engines] [deployments] [queue]", () => Distributed.RunAsync(args[1..])),
    ["generation"] = ("share of a generation inside the runtime, joining jobs, cold start", Generation.RunAsync),
    ["gpu"] = ("detectors, a generation of Stable Diffusion 1.5's size, a batched classifier on a CUDA device; [detectors] [classifier] [generation] [--device cuda:1|cpu] [--side 512] [--small]", () => Task.CompletedTask),
    ["pictures"] = ("decode and fit of a 12-megapixel JPEG: NetVips against libvips called directly", Pictures.RunAsync),
    ["transports"] = ("native, UDS and HTTP to .NET and Python sidecars, beside a copy in memory; [calls] [model] [detector]", () => TransportBench.RunAsync(args[1..])),
};

if (args.Length == 0 || !benchmarks.TryGetValue(args[0], out var benchmark))
{
    Console.WriteLine("./dev bench NAME");
    foreach (var (name, (help, _)) in benchmarks)
    {
        Console.WriteLine($"  {name,-12} {help}");
    }

    return args.Length == 0 ? 0 : 2;
}

await benchmark.Run();
return 0;
