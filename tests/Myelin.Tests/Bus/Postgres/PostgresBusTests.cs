using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Bus.Postgres;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;
using Myelin.Hosting.Telemetry;
using Myelin.Testing;
using Myelin.Tests.Streams;
using Myelin.Tests.Workers;
using Npgsql;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Bus.Postgres;

/// <summary>Within a process as every bus; between processes on one real database what concerns jobs.</summary>
public sealed class PostgresBusTests : BusConformance, IAsyncLifetime
{
    private BusProcess _one = null!;
    private BusProcess _two = null!;
    private PostgresDatabase _database = null!;

    private protected override IBus Bus => _one.Get<IBus>();

    private IBus Other => _two.Get<IBus>();

    public async ValueTask InitializeAsync()
    {
        _database = await PostgresDatabase.CreateAsync(Token);
        _one = await StartAsync(_database);
        _two = await StartAsync(_database);
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await _one.DisposeAsync();
        await _two.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Publish_Event_ReachesBothProcessesOnceInOrder()
    {
        var here = Subscribe(Topics.Events, null);
        var there = Other.SubscribeAsync(Topics.Events, null, Token).GetAsyncEnumerator(Token);
        for (var i = 0; i < 1_000; i++)
        {
            await PublishAsync(Topics.Events, $"k{i % 3}", i);
        }

        for (var i = 0; i < 1_000; i++)
        {
            Number(await NextAsync(here)).ShouldBe(i);
            Number(await NextAsync(there)).ShouldBe(i);
        }

        // Nothing came twice: what comes next is the next.
        await Other.PublishAsync(Topics.Events, new BusMessage("", null, "1000"u8.ToArray()), Token);
        Number(await NextAsync(here)).ShouldBe(1_000);
        Number(await NextAsync(there)).ShouldBe(1_000);
    }

    [Fact]
    public async Task Publish_HeadersKeyAndBytes_ArriveWholeInTheOther()
    {
        var there = Other.SubscribeAsync(Topics.AllJobs(Myelin.Protocol.JobPriority.High), "workers", Token).GetAsyncEnumerator(Token);
        var topic = Topics.Jobs("a model's — name", Myelin.Protocol.JobPriority.High);
        await Bus.PublishAsync(topic, new BusMessage("", "schlüssel", new byte[] { 0, 255, 39 }, new Dictionary<string, string> { ["traceparent"] = "00-\"1\"" }), Token);

        var message = await NextAsync(there);

        message.Topic.ShouldBe(topic);
        message.Key.ShouldBe("schlüssel");
        message.Payload.ToArray().ShouldBe([0, 255, 39]);
        message.Headers!["traceparent"].ShouldBe("00-\"1\"");
    }

    /// <summary>The notification's limit is the database's; what is larger stays here, what follows goes on; a hint that is too large for its key is counted.</summary>
    [Fact]
    public async Task Publish_LargeOrOpenTopic_StaysInTheProcess()
    {
        var here = Subscribe(Topics.Events, null);
        var there = Other.SubscribeAsync(Topics.Events, null, Token).GetAsyncEnumerator(Token);
        var frames = Other.SubscribeAsync(Topics.Frames("camera"), null, Token).GetAsyncEnumerator(Token);
        await Bus.PublishAsync(Topics.Events, new BusMessage("", "preview", new byte[20_000]), Token);
        await PublishAsync(Topics.Frames("camera"), null, 1);
        await PublishAsync(Topics.Events, null, 2);

        (await NextAsync(here)).Payload.Length.ShouldBe(20_000);
        Number(await NextAsync(there)).ShouldBe(2);
        await Bus.PublishAsync(Topics.Control, new BusMessage("", new string('k', 8_000), new byte[1]), Token);
        OpenTopicsServer.Measure(Page(_one), $"myelin_bus_publish_failures_total{{topic=\"{Topics.Control}\",reason=\"too_large\"}}").ShouldBe(1);
        Page(_one).ShouldNotContain($"topic=\"{Topics.Events}\",reason=");
        var frame = frames.MoveNextAsync().AsTask();
        await Other.PublishAsync(Topics.Frames("camera"), new BusMessage("", null, "3"u8.ToArray()), Token);
        (await frame.WaitAsync(TimeSpan.FromSeconds(60), Token)).ShouldBeTrue();
        Number(frames.Current).ShouldBe(3);
    }

    [Fact]
    public async Task Notification_OfAnotherProgram_IsPassedOver()
    {
        var there = Other.SubscribeAsync(Topics.Events, null, Token).GetAsyncEnumerator(Token);
        await using (var source = NpgsqlDataSource.Create(_database.Connection))
        {
            foreach (var text in (string[])["", "rubbish", "{}", "another-----{}", """another-----{"topic":"myelin.frames.camera","payload":""}""", """another-----{"topic":null,"payload":""}"""])
            {
                await using var command = source.CreateCommand("SELECT pg_notify('myelin:' || md5(current_schema()), $1)");
                command.Parameters.AddWithValue(text);
                await command.ExecuteNonQueryAsync(Token);
            }
        }

        await PublishAsync(Topics.Events, null, 7);

        Number(await NextAsync(there)).ShouldBe(7);
    }

    /// <summary>What is published while the database is away waits; who listens comes back by itself.</summary>
    [Fact]
    public async Task Database_AwayAndBack_MessagesGoOn()
    {
        await using var server = await PostgresServer.StartAsync(Token);
        var database = await PostgresDatabase.CreateAsync(server, Token);
        await using var one = await StartAsync(database);
        await using var two = await StartAsync(database);
        var there = two.Get<IBus>().SubscribeAsync(Topics.Control, null, Token).GetAsyncEnumerator(Token);
        await server.KillAsync();
        await Wait.UntilAsync(() => !two.Get<PostgresBus>().IsListening);
        await server.RestartAsync(Token);
        await Wait.UntilAsync(() => two.Get<PostgresBus>().IsListening);

        await one.Get<IBus>().PublishAsync(Topics.Control, new BusMessage("", null, "1"u8.ToArray()), Token);

        Number(await NextAsync(there)).ShouldBe(1);
        one.Get<PostgresBus>().Ended.IsCompleted.ShouldBeFalse();
        Page(two).ShouldContain("myelin_bus_connected 1");
    }

    private static string Page(BusProcess process) => process.Get<MetricsPage>().Write();

    private static async Task<BusProcess> StartAsync(PostgresDatabase database)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Logging.AddProvider(new TestOutputLogger());
        builder.Services
            .AddSingleton(TimeProvider.System)
            .AddSingleton(new MyelinOptions { Storage = new StorageOptions { Connection = database.Connection } })
            .AddSingleton<FatalErrors>()
            .AddBus()
            .AddSingleton<MetricsPage>()
            .AddSingleton<Myelin.Jobs.OpenTopics.StreamInstruments>();
        var host = builder.Build();
        var provider = host.Services;
        provider.GetRequiredService<MetricsPage>();
        provider.GetRequiredService<IBus>().ShouldBeOfType<PostgresBus>();
        await Wait.UntilAsync(() => provider.GetRequiredService<PostgresBus>().IsListening);
        return new BusProcess(host);
    }

    private sealed class BusProcess(IHost host) : IAsyncDisposable
    {
        public T Get<T>() where T : notnull => host.Services.GetRequiredService<T>();

        public ValueTask DisposeAsync() => ((IAsyncDisposable)host).DisposeAsync();
    }
}
