using Myelin.Hosting.Bus;
using Myelin.Testing;
using Xunit;

namespace Myelin.Tests.Bus.Kafka;

public sealed class KafkaBusTests : BusConformance, IAsyncLifetime
{
    private KafkaHost? _host;

    private protected override IBus Bus => _host!.Bus;

    public async ValueTask InitializeAsync() => _host = KafkaHost.Start(KafkaHost.Options(await KafkaBroker.SharedAsync()));

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await (_host?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    private protected override Task SettledAsync(string group, int members) => KafkaHost.SettledAsync(group, 4, _host!);
}
