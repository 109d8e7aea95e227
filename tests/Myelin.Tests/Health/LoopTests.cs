using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Hosting.Storage.Sqlite;
using Myelin.Jobs.Store;
using Myelin.Testing;
using Myelin.Tests.Workers;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Health;

/// <summary>A loop that cannot go on makes the process unready and stops it, with the reason.</summary>
public sealed class LoopTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("the disk is on fire", "Loop: ended: the disk is on fire")]
    [InlineData(null, "Loop: ended by itself")]
    public async Task Loop_ThatEnds_MakesTheProcessUnreadyAndStopsIt(string? fault, string reason)
    {
        var loop = new Loop();
        await using var server = await RunningServer.StartAsync(services: services => services.AddHostedService(_ => loop), worker: false);
        (await server.Http.GetAsync(new Uri("/health/ready", UriKind.Relative), Token)).IsSuccessStatusCode.ShouldBeTrue();

        if (fault is null)
        {
            loop.End.SetResult();
        }
        else
        {
            loop.End.SetException(new InvalidOperationException(fault));
        }

        await Wait.UntilAsync(() => server.Get<IHostApplicationLifetime>().ApplicationStopping.IsCancellationRequested);
        server.Get<Readiness>().Check().Reasons.ShouldContain(reason);
        server.Get<FatalErrors>().First.ShouldBe(reason);
    }

    [Fact]
    public async Task Loops_AllOfTheServer_EndWithTheWordToStopAndNotBefore()
    {
        await using var server = await RunningServer.StartAsync();
        var loops = server.Services.GetServices<IHostedService>().OfType<BackgroundService>().ToList();
        loops.Count.ShouldBeGreaterThan(6);
        server.Get<FatalErrors>().First.ShouldBeNull();

        server.Get<IHostApplicationLifetime>().StopApplication();
        foreach (var loop in loops)
        {
            await loop.StopAsync(Token);
        }

        server.Get<FatalErrors>().First.ShouldBeNull();
    }

    /// <summary>The writer breaks outside of what it foresees: nobody waits for ever, and it says so.</summary>
    [Fact]
    public async Task Writer_ThatBreaks_AnswersEverybodyAndIsHeardOf()
    {
        using var folder = new TemporaryFolder();
        await using var database = SqliteDatabase.Open(folder.Path, TimeProvider.System, _ => { }, _ => { });
        database.Writer.Committed = _ => throw new InvalidOperationException("a counter that cannot count");
        database.Writer.Start();

        (await Should.ThrowAsync<StorageUnavailableException>(database.WriteAsync(_ => 1, Token))).Message.ShouldContain("may have been stored");
        await Should.ThrowAsync<StorageClosedException>(database.WriteAsync(_ => 2, Token));

        (await Should.ThrowAsync<InvalidOperationException>(database.Writer.Ended)).Message.ShouldBe("a counter that cannot count");
    }

    /// <summary>The other writer, in a whole process: its loop breaks where nothing is foreseen.</summary>
    [Fact]
    public async Task Writer_OfPostgresThatBreaks_EndsTheProcess()
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        using var folder = new TemporaryFolder();
        var clock = new BreakableClock();
        await using var host = await JobsHost.StartAsync(
            JobsHost.Options(folder) with { Storage = new StorageOptions { Connection = database.Connection } }, [], more: services => services.AddSingleton(new SharedClock(clock)));
        host.Get<FatalErrors>().First.ShouldBeNull();

        clock.Broken = true;

        await Wait.UntilAsync(() => host.Get<IHostApplicationLifetime>().ApplicationStopping.IsCancellationRequested);
        host.Get<FatalErrors>().First.ShouldBe("the storage's writer: ended: no more timers");
        await Should.ThrowAsync<StorageClosedException>(async () =>
            await host.Get<IJobStore>().HeartbeatAsync([("01job", "token")], TimeProvider.System.GetUtcNow(), Token));
    }

    /// <summary>The writer waits for half a second at a time, and nobody else does.</summary>
    private sealed class BreakableClock : TimeProvider
    {
        public volatile bool Broken;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            Broken && dueTime == TimeSpan.FromMilliseconds(500) ? throw new InvalidOperationException("no more timers") : base.CreateTimer(callback, state, dueTime, period);
    }

    private sealed class Loop : BackgroundService
    {
        public TaskCompletionSource End { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        protected override Task ExecuteAsync(CancellationToken stoppingToken) => End.Task.WaitAsync(stoppingToken);
    }
}
