using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Bus.Kafka;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Telemetry;
using Myelin.Testing;
using Myelin.Tests.Workers;

namespace Myelin.Tests.Bus.Kafka;

/// <summary>The server's own bus services on a real broker, under a prefix of their own.</summary>
internal sealed class KafkaHost : IAsyncDisposable
{
    private readonly ServiceProvider _services;

    private KafkaHost(ServiceProvider services) => _services = services;

    public KafkaBus Bus => (KafkaBus)Get<IBus>();

    public static string NewPrefix() => "t" + Guid.NewGuid().ToString("n")[..8];

    public static KafkaOptions Options(KafkaBroker broker, string? prefix = null) => new()
    {
        Bootstrap = broker.Bootstrap,
        Prefix = prefix ?? NewPrefix(),
        Partitions = 4,
        Instance = Guid.NewGuid().ToString("n"),
        SessionTimeout = TimeSpan.FromSeconds(6),
    };

    public static KafkaHost Start(KafkaOptions options, TimeProvider? time = null)
    {
        var services = new ServiceCollection();
        services.AddLogging(log => log.AddProvider(new TestOutputLogger()));
        services.AddMetrics();
        services.AddSingleton(time ?? TimeProvider.System);
        services.AddSingleton(new MyelinOptions { Bus = new BusOptions { Kafka = options } });
        services.AddBus();
        services.AddSingleton<MetricsPage>().AddSingleton<Myelin.Jobs.OpenTopics.StreamInstruments>();
        var provider = services.BuildServiceProvider();
        provider.GetRequiredService<MetricsPage>();
        return new KafkaHost(provider);
    }

    /// <summary>What <c>/metrics</c> would show.</summary>
    public string Page() => Get<MetricsPage>().Write();

    public T Get<T>() where T : notnull => _services.GetRequiredService<T>();

    /// <summary>Waits until the members of <paramref name="group"/> in these processes have all partitions of one topic, each at least one.</summary>
    public static Task SettledAsync(string group, int partitions, params KafkaHost[] hosts) =>
        Wait.UntilAsync(() =>
        {
            var members = hosts.SelectMany(h => h.Bus.PartitionsOf(group)).ToList();
            return members.Sum() == partitions && members.TrueForAll(m => m > 0);
        });

    public ValueTask DisposeAsync() => _services.DisposeAsync();
}
