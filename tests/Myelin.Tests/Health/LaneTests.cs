using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Health;

public sealed class LaneTests
{
    /// <summary>A lane of frames that cannot go on, with its one frame: the process says so and stops.</summary>
    [Fact]
    public async Task Lane_WhoseFrameCanBeNeitherAnsweredNorPutAside_StopsTheProcess()
    {
        await using var server = await RunningServer.StartAsync(
            o => o with { OpenTopics = new OpenTopicsOptions { Streams = "door" } },
            services =>
            {
                var real = services.Last(d => d.ServiceType == typeof(IBus)).ImplementationFactory!;
                services.AddSingleton<IBus>(p => new Mute((IBus)real(p)));
            });
        var bus = (Mute)server.Get<IBus>();
        await bus.Listening.Task.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);

        await bus.PublishAsync(Topics.Frames("door"), new BusMessage("", null, "no picture"u8.ToArray()), TestContext.Current.CancellationToken);

        await Wait.UntilAsync(() => server.Get<IHostApplicationLifetime>().ApplicationStopping.IsCancellationRequested);
        server.Get<FatalErrors>().First.ShouldBe("FrameTopics: ended: nothing can be put aside");
        server.Get<Readiness>().Check().Reasons.ShouldContain("FrameTopics: ended: nothing can be put aside");
    }

    /// <summary>The real bus, but for answers of frames.</summary>
    private sealed class Mute(IBus bus) : IBus
    {
        public TaskCompletionSource Listening { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public bool Retains => bus.Retains;

        public ValueTask PublishAsync(string topic, BusMessage message, CancellationToken cancellationToken) => bus.PublishAsync(topic, message, cancellationToken);

        public ValueTask<Delivery> DeliverAsync(string topic, BusMessage message, CancellationToken cancellationToken) => throw new InvalidOperationException("nothing can be answered");

        public void Prepare(string topic) => bus.Prepare(topic);

        public IAsyncEnumerable<BusMessage> SubscribeAsync(string topics, string? group, CancellationToken cancellationToken)
        {
            var messages = bus.SubscribeAsync(topics, group, cancellationToken);
            if (topics == Topics.Frames("door"))
            {
                Listening.TrySetResult();
            }

            return messages;
        }

        public ValueTask RejectAsync(BusMessage message, string reason, CancellationToken cancellationToken) => throw new InvalidOperationException("nothing can be put aside");
    }
}
