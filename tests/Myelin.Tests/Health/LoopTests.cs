using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Myelin.Server.Health;
using Myelin.Server.Storage;
using Myelin.Server.Storage.Sqlite;
using Myelin.Testing;
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

    private sealed class Loop : BackgroundService
    {
        public TaskCompletionSource End { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        protected override Task ExecuteAsync(CancellationToken stoppingToken) => End.Task.WaitAsync(stoppingToken);
    }
}
