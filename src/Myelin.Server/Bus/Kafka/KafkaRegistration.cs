using Myelin.Server.Configuration;

namespace Myelin.Server.Bus.Kafka;

internal static class KafkaRegistration
{
    /// <summary>The bus that the options name: Kafka where there are brokers, or the one inside this process.</summary>
    public static IServiceCollection AddBus(this IServiceCollection services) => services
        .AddSingleton(p => new KafkaClient(p.GetRequiredService<MyelinOptions>().Bus.Kafka))
        .AddSingleton<KafkaNames>()
        .AddSingleton<KafkaInstruments>()
        .AddSingleton<KafkaHealth>()
        .AddSingleton(p => ActivatorUtilities.CreateInstance<KafkaTopics>(p, p.GetRequiredService<MyelinOptions>().Bus.Kafka))
        .AddSingleton<KafkaPublisher>()
        .AddSingleton<KafkaBus>()
        .AddSingleton<EmbeddedBus>()
        .AddSingleton<IBus>(Choose);

    private static IBus Choose(IServiceProvider provider) => provider.GetRequiredService<MyelinOptions>().Bus.Kafka.Bootstrap.Length == 0
        ? provider.GetRequiredService<EmbeddedBus>()
        : provider.GetRequiredService<KafkaBus>();
}
