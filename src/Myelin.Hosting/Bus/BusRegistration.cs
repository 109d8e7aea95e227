using Myelin.Hosting.Bus.Kafka;
using Myelin.Hosting.Bus.Postgres;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;
using Myelin.Hosting.Storage;

namespace Myelin.Hosting.Bus;

internal static class BusRegistration
{
    /// <summary>The bus that the options name: Kafka where there are brokers, else the database that processes share, else the one inside this process.</summary>
    public static IServiceCollection AddBus(this IServiceCollection services) => services
        .AddSingleton(p => new KafkaClient(p.GetRequiredService<MyelinOptions>().Bus.Kafka))
        .AddSingleton<KafkaNames>()
        .AddSingleton<BusInstruments>()
        .AddSingleton<KafkaHealth>()
        .AddSingleton(p => ActivatorUtilities.CreateInstance<KafkaTopics>(p, p.GetRequiredService<MyelinOptions>().Bus.Kafka))
        .AddSingleton<KafkaPublisher>()
        .AddSingleton<KafkaBus>()
        .AddSingleton<EmbeddedBus>()
        .AddSingleton(OpenPostgres)
        .AddSingleton<IBus>(Choose)
        .AddProbe("bus", p => () => UsesKafka(p) && !p.GetRequiredService<KafkaHealth>().HasAnswered ? "no Kafka broker has answered since the start" : null);

    private static bool UsesKafka(IServiceProvider provider) => provider.GetRequiredService<MyelinOptions>().Bus.Kafka.Bootstrap.Length > 0;

    private static IBus Choose(IServiceProvider provider) =>
        UsesKafka(provider) ? provider.GetRequiredService<KafkaBus>()
        : provider.IsShared() ? provider.GetRequiredService<PostgresBus>()
        : provider.GetRequiredService<EmbeddedBus>();

    private static PostgresBus OpenPostgres(IServiceProvider provider)
    {
        var settings = StorageRegistration.Settings(provider.GetRequiredService<MyelinOptions>().Storage);
        var bus = ActivatorUtilities.CreateInstance<PostgresBus>(provider, settings);
        provider.GetRequiredService<FatalErrors>().WatchForFault("the bus", bus.Ended);
        return bus;
    }
}
