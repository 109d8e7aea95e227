using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Protocol;
using Myelin.Server.Jobs.Store.Sqlite;
using Myelin.Server.Models;
using Myelin.Server.Workers.Registry;
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

        _time.Advance(TimeSpan.FromSeconds(16));
        await _directory.RefreshAsync(Token);

        _directory.Live.ShouldBeEmpty();
        _directory.Count("iris").ShouldBe(0);
        _directory.Find("iris").ShouldNotBeNull().State.ShouldBe(ModelState.Available, "jobs for it are taken and wait");
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
