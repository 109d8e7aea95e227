using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Protocol;
using Myelin.Serving.Models;
using Myelin.Serving.Registry;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Workers;

/// <summary>What a process makes of the rows of workers.</summary>
public sealed class WorkerDirectoryTests : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ManualTime _time = new();
    private readonly SqliteJobStore _jobs;
    private readonly SqliteWorkerStore _store;
    private readonly WorkerInstruments _instruments;
    private readonly WorkerDirectory _directory;

    public WorkerDirectoryTests()
    {
        _jobs = SqliteJobStore.Open(_folder.Path, TimeProvider.System, TimeSpan.FromHours(1), _ => { });
        _store = new SqliteWorkerStore(_jobs.Database);
        _instruments = new WorkerInstruments(new ServiceCollection().AddMetrics().BuildServiceProvider().GetRequiredService<IMeterFactory>());
        _directory = new WorkerDirectory(_store, _instruments, _time, NullLogger<WorkerDirectory>.Instance);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Find_SeveralWorkers_TakesTheBestStateAndCountsThoseThatCan()
    {
        await RegisterAsync("a", "available");
        await RegisterAsync("b", "ready");
        await RegisterAsync("c", "broken");

        await _directory.RefreshAsync(Token);

        _directory.Find("iris").ShouldNotBeNull().State.ShouldBe(ModelState.Ready);
        _directory.Count("iris").ShouldBe(2);
        _directory.Find("other").ShouldBeNull();
        _directory.Count("other").ShouldBe(0);
    }

    [Fact]
    public async Task Find_ContractOfAnotherProcess_IsWhole()
    {
        await RegisterAsync("a", "ready");

        await _directory.RefreshAsync(Token);

        var contract = _directory.Find("iris").ShouldNotBeNull().Contract.ShouldNotBeNull();
        contract.Task.ShouldBe("tensor");
        contract.Open.ShouldBeTrue();
        contract.Files.Single().ShouldBe(new ModelInput("inputs", "json", Required: true, "tensors"));
        contract.Parameters.Single().Maximum.ShouldBe(1);
    }

    [Fact]
    public async Task Worker_FallsSilent_IsNotLiveAndItsModelsStayKnown()
    {
        await RegisterAsync("a", "ready");
        await _directory.RefreshAsync(Token);
        _directory.Live.Length.ShouldBe(1);

        await LookAsync(14);
        _directory.Live.Length.ShouldBe(1);
        await LookAsync(2);

        _directory.Live.ShouldBeEmpty();
        _directory.Count("iris").ShouldBe(0);
        _directory.Find("iris").ShouldNotBeNull().State.ShouldBe(ModelState.Available, "jobs for it are taken and wait");
    }

    /// <summary>Of whoever judges, or of the machine that a worker moved to: what counts is that the row changes.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public async Task Clock_JumpsAnHour_ChangesNothing(int hours)
    {
        await RegisterAsync("a", "ready");
        await LookAsync(5);
        _time.Jump(TimeSpan.FromHours(hours));
        await LookAsync(5);
        _directory.Live.Length.ShouldBe(1);
        await RegisterAsync("a", "ready");

        await LookAsync(14);
        _directory.Live.Length.ShouldBe(1);
        await LookAsync(3);
        _directory.Live.ShouldBeEmpty();
    }

    [Fact]
    public async Task Worker_WhoseClockIsSlow_IsLiveFromItsNextBeat()
    {
        _time.Jump(TimeSpan.FromHours(-1));
        await RegisterAsync("a", "ready");
        _time.Jump(TimeSpan.FromHours(1));
        await LookAsync(5);
        _directory.Live.ShouldBeEmpty("as far as anybody knows it ended an hour ago");

        _time.Jump(TimeSpan.FromHours(-1));
        await RegisterAsync("a", "ready");
        _time.Jump(TimeSpan.FromHours(1));
        await LookAsync(1);

        _directory.Live.Length.ShouldBe(1);
    }

    /// <summary>This process stood still: workers that lived get their time again, those that were silent do not.</summary>
    [Fact]
    public async Task Judge_WasPaused_NobodyDiesOrComesBackForIt()
    {
        await RegisterAsync("gone", "ready");
        await LookAsync(10);
        await RegisterAsync("a", "ready");
        await LookAsync(8);
        _directory.Live.ShouldHaveSingleItem().Id.ShouldBe("a");

        _time.Advance(TimeSpan.FromMinutes(1));
        await LookAsync(1);

        _directory.Live.ShouldHaveSingleItem().Id.ShouldBe("a");
    }

    [Fact]
    public async Task Loop_NetworkFaultWhenWorkersAreRead_GoesOn()
    {
        await RegisterAsync("a", "ready");
        using var directory = new WorkerDirectory(FaultsOnce.Of<IWorkerStore>(_store, nameof(IWorkerStore.ListAsync)), _instruments, _time, NullLogger<WorkerDirectory>.Instance);
        await directory.StartAsync(Token);
        directory.Live.ShouldBeEmpty();
        await Wait.UntilAsync(() => _time.Timers > 0);

        _time.Advance(TimeSpan.FromSeconds(1));

        await Wait.UntilAsync(() => directory.Live.Length == 1);
        directory.ExecuteTask!.IsCompleted.ShouldBeFalse();
        await directory.StopAsync(Token);
    }

    [Fact]
    public async Task Worker_ThatDrains_TakesNothingMore()
    {
        await RegisterAsync("a", "ready", draining: true);

        await _directory.RefreshAsync(Token);

        _directory.Live.ShouldBeEmpty();
        var (_, live, draining) = _directory.All().ShouldHaveSingleItem();
        (live, draining).ShouldBe((false, true));
    }

    /// <summary>While storage is away no worker can renew its row either: nobody is taken for dead for that.</summary>
    [Fact]
    public async Task Storage_Away_TheLastKnownWorkersCountOn()
    {
        await RegisterAsync("a", "ready");
        await _directory.RefreshAsync(Token);
        await _jobs.DisposeAsync();

        _time.Advance(TimeSpan.FromMinutes(5));
        await Should.ThrowAsync<Exception>(() => _directory.RefreshAsync(Token));

        _directory.Live.Length.ShouldBe(1);
    }

    [Fact]
    public async Task Models_Changed_AreReadAnewByTheirRevision()
    {
        await RegisterAsync("a", "loading", revision: 1);
        await _directory.RefreshAsync(Token);
        await RegisterAsync("a", "ready", revision: 2);

        await _directory.RefreshAsync(Token);

        _directory.Find("iris").ShouldNotBeNull().State.ShouldBe(ModelState.Ready);
    }

    public async ValueTask DisposeAsync()
    {
        _directory.Dispose();
        _instruments.Dispose();
        await _jobs.DisposeAsync();
        _folder.Dispose();
    }

    /// <summary>As the loop does: a second, then a look.</summary>
    private async Task LookAsync(int times)
    {
        for (var look = 0; look < times; look++)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            await _directory.RefreshAsync(Token);
        }
    }

    private ValueTask RegisterAsync(string id, string state, bool draining = false, long revision = 1)
    {
        var now = _time.GetUtcNow();
        return _store.RegisterAsync(
            new WorkerRow
            {
                Id = id,
                Host = "machine/1",
                Capacity = 2,
                Draining = draining,
                StartedAt = now,
                SeenAt = now,
                ExpiresAt = now.AddSeconds(15),
                Revision = revision,
                Models =
                [
                    new Model
                    {
                        Id = "iris",
                        Name = "iris",
                        Task = "tensor",
                        State = state,
                        OpenParameters = true,
                        Inputs = [new ModelInput("inputs", "json", Required: true, "tensors")],
                        Parameters = [new ModelParameter("threshold", "number", "least score") { Maximum = 1 }],
                    },
                ],
            },
            Token);
    }
}
