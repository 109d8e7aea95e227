using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using Myelin.Protocol;
using Myelin.Testing;

namespace Myelin.Benchmarks;

/// <summary>
/// The job path over engines: one process on SQLite, processes on PostgreSQL, roles of their own on PostgreSQL and Kafka.
/// The model waits 5 ms in a sidecar and needs no processor, so that all that is missing to 200 jobs a second and worker is
/// the system's own.
/// </summary>
internal static class Distributed
{
    private const string Body = """{"model":"pause","input":{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}}""";

    private static readonly TimeSpan s_duration = TimeSpan.FromSeconds(8);

    /// <param name="parts">Any of <c>engines</c>, <c>deployments</c> and <c>queue</c>; none for all.</param>
    public static async Task RunAsync(string[] parts)
    {
        if (!PostgresServer.IsInstalled)
        {
            Console.WriteLine("PostgreSQL is not installed (apt-get install postgresql).");
            return;
        }

        await Parts.RunAsync(parts, ("engines", EnginesAsync), ("deployments", DeploymentsAsync), ("queue", DeepAsync));
    }

    private static async Task DeploymentsAsync()
    {
        var table = new Table("deployment", "workers", "jobs/s", "of 200 a worker", "submit → start p50 ms", "p99 ms", "submit → end p50 ms", "p99 ms");
        foreach (var workers in new[] { 1, 2, 4 })
        {
            await AddAsync(table, "one process, SQLite", workers, EmbeddedAsync);
            await AddAsync(table, "processes of all roles, PostgreSQL", workers, PostgresAsync);
            await AddAsync(table, "gateway, workers, coordinator; PostgreSQL + Kafka", workers, KafkaAsync);
        }

        table.Print("Jobs of a 5 ms model (jobs/s: 8 clients a worker, each waits for its result; latencies at half that rate)");
    }

    /// <summary>What the engines cost without us.</summary>
    private static async Task EnginesAsync()
    {
        var table = new Table("engine alone", "per second", "p50 ms", "p99 ms");
        await using (var postgres = await PostgresServer.StartAsync(CancellationToken.None))
        {
            var inserts = await PostgresStorage.RawInsertsAsync(await PostgresDatabase.CreateAsync(postgres, CancellationToken.None));
            table.Add("PostgreSQL: one transaction after the other", inserts, 1000 / inserts, "");
        }

        await using (var kafka = await KafkaBroker.StartOwnAsync())
        {
            var (rate, trips) = await RawKafkaAsync(kafka.Bootstrap);
            table.Add("Kafka: produce (acks=all) and consume, one message after the other", 1000 / trips.Average(), trips[trips.Length / 2], trips[trips.Length * 99 / 100]);
            table.Add("Kafka: the same, as many as the client likes", rate, "", "");
        }

        table.Print("The engines");
    }

    private static async Task<(double Rate, double[] Trips)> RawKafkaAsync(string bootstrap)
    {
        using var admin = new AdminClientBuilder(new AdminClientConfig { BootstrapServers = bootstrap }).Build();
        await admin.CreateTopicsAsync([new TopicSpecification { Name = "raw", NumPartitions = 1, ReplicationFactor = 1 }]);
        using var producer = new ProducerBuilder<Null, byte[]>(new ProducerConfig { BootstrapServers = bootstrap, Acks = Acks.All, EnableIdempotence = true, LingerMs = 0 }).Build();
        using var consumer = new ConsumerBuilder<Ignore, byte[]>(new ConsumerConfig { BootstrapServers = bootstrap, GroupId = "raw", FetchWaitMaxMs = 10 }).Build();
        consumer.Assign(new TopicPartitionOffset("raw", 0, Offset.Beginning));
        var message = new Message<Null, byte[]> { Value = new byte[200] };
        var trips = new List<double>();
        for (var i = 0; i < 600; i++)
        {
            var start = Stopwatch.GetTimestamp();
            producer.Produce("raw", message);
            consumer.Consume(TimeSpan.FromSeconds(30));
            if (i >= 100)
            {
                trips.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            }
        }

        const int Many = 200_000;
        var clock = Stopwatch.StartNew();
        var sending = Task.Run(() =>
        {
            for (var sent = 0; sent < Many;)
            {
                try
                {
                    producer.Produce("raw", message);
                    sent++;
                }
                catch (ProduceException<Null, byte[]> full) when (full.Error.Code == ErrorCode.Local_QueueFull)
                {
                    producer.Poll(TimeSpan.FromMilliseconds(10));
                }
            }
        });
        for (var read = 0; read < Many;)
        {
            read += consumer.Consume(TimeSpan.FromSeconds(30)) is null ? 0 : 1;
        }

        await sending;
        return (Many / clock.Elapsed.TotalSeconds, [.. trips.Order()]);
    }

    private static async Task AddAsync(Table table, string name, int workers, Func<int, string, Task<Deployment>> start)
    {
        using var models = new TemporaryFolder();
        await using var deployment = await start(workers, models.Path);
        var rate = await ThroughputAsync(deployment, workers * 8);
        var (starts, ends) = await LatenciesAsync(deployment, rate / 2, s_duration, "normal");
        table.Add(name, workers, rate, rate / (200 * workers), At(starts, 0.5), At(starts, 0.99), At(ends, 0.5), At(ends, 0.99));
        Console.Error.WriteLine($"  {name}, {workers} workers: {rate:0} jobs/s");
    }

    /// <summary>A job of high priority must start as fast with a long queue behind it as without.</summary>
    private static async Task DeepAsync()
    {
        var table = new Table("deployment", "queued jobs", "submit → start p50 ms", "p99 ms", "accepted p50 ms");
        foreach (var (name, start) in new (string, Func<int, string, Task<Deployment>>)[] { ("one process, SQLite", EmbeddedAsync), ("gateway, worker, coordinator; PostgreSQL + Kafka", KafkaAsync) })
        {
            foreach (var depth in new[] { 1_000, 100_000 })
            {
                using var models = new TemporaryFolder();
                await using var deployment = await start(1, models.Path);
                await FillAsync(deployment, depth);
                await LatenciesAsync(deployment, 20, TimeSpan.FromSeconds(8), "high"); // processes that have just started compile themselves for a while
                deployment.Accepts.Clear();
                var (starts, _) = await LatenciesAsync(deployment, 20, TimeSpan.FromSeconds(15), "high");
                table.Add(name, depth, At(starts, 0.5), At(starts, 0.99), At(deployment.Accepts, 0.5));
                Console.Error.WriteLine($"  {name}, {depth} queued: p50 {At(starts, 0.5):0.0} ms");
            }
        }

        table.Print("Jobs of high priority, 20 a second, while one worker is busy with low ones of 5 ms");
    }

    private static async Task FillAsync(Deployment deployment, int depth)
    {
        var load = new HttpLoad(deployment.Gateways[0], Post("/v1/jobs", "low"));
        for (var queued = 0; queued < depth;)
        {
            queued += (await load.RunAsync(64, TimeSpan.FromSeconds(depth > 10_000 ? 2 : 0.2))).Statuses.GetValueOrDefault(202);
        }
    }

    private static async Task<double> ThroughputAsync(Deployment deployment, int clients)
    {
        var loads = deployment.Gateways.Select(gateway => new HttpLoad(gateway, Post("/v1/jobs?wait=30s", "normal"))).ToList();
        var each = Math.Max(1, clients / loads.Count);

        // Processes that have just started compile themselves: some thousand jobs before they are as fast as they get.
        for (var (done, clock) = (0.0, Stopwatch.StartNew()); done < 4000 && clock.Elapsed < TimeSpan.FromMinutes(1);)
        {
            done += 3 * await RateAsync(TimeSpan.FromSeconds(3));
        }

        return await RateAsync(s_duration);

        async Task<double> RateAsync(TimeSpan duration)
        {
            var results = await Task.WhenAll(loads.Select(load => load.RunAsync(each, duration)));
            return results.Sum(result => result.Statuses.GetValueOrDefault(200) / result.Elapsed.TotalSeconds);
        }
    }

    /// <summary>Submits at a steady rate and reads from the ended jobs when they were accepted, started, ended.</summary>
    private static async Task<(List<double> Starts, List<double> Ends)> LatenciesAsync(Deployment deployment, double rate, TimeSpan duration, string priority)
    {
        using var http = new HttpClient();
        var (clock, ids) = (Stopwatch.StartNew(), new List<Task<(Uri Gateway, string Id)>>());
        while (clock.Elapsed < duration)
        {
            var gateway = deployment.Gateways[ids.Count % deployment.Gateways.Count];
            ids.Add(SubmitAsync(http, gateway, priority, deployment));
            var due = TimeSpan.FromSeconds(ids.Count / rate) - clock.Elapsed;
            if (due > TimeSpan.Zero)
            {
                await Task.Delay(due);
            }
        }

        var (starts, ends) = (new List<double>(), new List<double>());
        foreach (var (gateway, id) in await Task.WhenAll(ids))
        {
            var job = JsonSerializer.Deserialize(await http.GetStringAsync(new Uri(gateway, $"/v1/jobs/{id}?wait=60s")), JsonContext.Default.Job)!;
            if (job.State != JobState.Succeeded)
            {
                throw new InvalidOperationException($"a job of the bench ended as {job.State}: {job.Error?.Detail}");
            }

            starts.Add((job.StartedAt!.Value - job.CreatedAt).TotalMilliseconds);
            ends.Add((job.EndedAt!.Value - job.CreatedAt).TotalMilliseconds);
        }

        return (starts, ends);
    }

    private static async Task<(Uri Gateway, string Id)> SubmitAsync(HttpClient http, Uri gateway, string priority, Deployment deployment)
    {
        var start = Stopwatch.GetTimestamp();
        using var content = new StringContent(Prioritised(priority), Encoding.UTF8, "application/json");
        using var response = await http.PostAsync(new Uri(gateway, "/v1/jobs"), content);
        response.EnsureSuccessStatusCode();
        var job = JsonSerializer.Deserialize(await response.Content.ReadAsStringAsync(), JsonContext.Default.Job)!;
        lock (deployment.Accepts)
        {
            deployment.Accepts.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        return (gateway, job.Id);
    }

    private static async Task<Deployment> EmbeddedAsync(int workers, string models)
    {
        Install(models, instances: workers);
        var server = new ServerProcess(environment: Settings(models, workers));
        await server.StartAsync();
        return new Deployment([server.Address], [server]);
    }

    private static async Task<Deployment> PostgresAsync(int workers, string models)
    {
        Install(models, instances: 1);
        var postgres = await PostgresServer.StartAsync(CancellationToken.None);
        var connection = await postgres.CreateDatabaseAsync(CancellationToken.None);
        var servers = Enumerable.Range(0, workers)
            .Select(_ => new ServerProcess(environment: new Dictionary<string, string>(Settings(models, 1)) { ["MYELIN_STORAGE_CONNECTION"] = connection })).ToList();
        foreach (var server in servers)
        {
            await server.StartAsync();
        }

        return new Deployment([.. servers.Select(server => server.Address)], [.. servers, postgres]);
    }

    private static async Task<Deployment> KafkaAsync(int workers, string models)
    {
        Install(models, instances: 1);
        var plan = new ClusterPlan { Gateways = 1, Workers = workers, OwnPostgres = true, OwnKafka = true, Settings = Settings(models, 1) };
        var cluster = await Cluster.StartAsync(plan, CancellationToken.None);
        return new Deployment([.. cluster.Gateways.Select(gateway => gateway.Address)], [cluster]);
    }

    private static Dictionary<string, string> Settings(string models, int concurrency) => new()
    {
        ["MYELIN_MODELS"] = models,
        ["MYELIN_WORKER_CONCURRENCY"] = concurrency.ToString(CultureInfo.InvariantCulture),
        ["MYELIN_WORKER_LEASE"] = "30s",
        ["MYELIN_JOBS_QUEUE_LIMIT"] = "10000000",
        ["MYELIN_TELEMETRY_LOG_LEVEL"] = "Warning",
    };

    private static void Install(string models, int instances)
    {
        var folder = Directory.CreateDirectory(Path.Combine(models, "pause"));
        File.WriteAllText(Path.Combine(folder.FullName, "model.yaml"),
            $$"""
            task: tensor
            runtime: sidecar
            instances: {count: {{instances}}}
            sidecar: {command: ["{{Environment.ProcessPath}}", sidecar, "."], transport: uds, model: pause}
            """);
    }

    private static string Prioritised(string priority) => Body.Replace("{\"model\"", $"{{\"priority\":\"{priority}\",\"model\"", StringComparison.Ordinal);

    private static byte[] Post(string path, string priority) => Jobs.Request(path, "application/json", Encoding.UTF8.GetBytes(Prioritised(priority)));

    private static double At(IEnumerable<double> values, double share) => LoadResult.Percentile([.. values.Order()], share);

    /// <param name="Gateways">Where jobs are submitted.</param>
    /// <param name="Parts">Everything that runs, in the order of its end.</param>
    private sealed record Deployment(IReadOnlyList<Uri> Gateways, IReadOnlyList<IAsyncDisposable> Parts) : IAsyncDisposable
    {
        /// <summary>Milliseconds from sending a submission to its answer.</summary>
        public List<double> Accepts { get; } = [];

        public async ValueTask DisposeAsync()
        {
            foreach (var part in Parts)
            {
                await part.DisposeAsync();
            }
        }
    }
}
