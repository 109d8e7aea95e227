using Myelin.Server.Configuration;
using Myelin.Server.Health;

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
        .AddSingleton<IBus>(Choose)
        .AddProbe("bus", p => () => IsNamed(p) && !p.GetRequiredService<KafkaHealth>().HasAnswered ? "no Kafka broker has answered since the start" : null);

    private static bool IsNamed(IServiceProvider provider) => provider.GetRequiredService<MyelinOptions>().Bus.Kafka.Bootstrap.Length > 0;

    private static IBus Choose(IServiceProvider provider) => IsNamed(provider)
        ? provider.GetRequiredService<KafkaBus>()
        : provider.GetRequiredService<EmbeddedBus>();
}
