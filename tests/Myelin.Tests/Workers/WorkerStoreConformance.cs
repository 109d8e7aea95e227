using Myelin.Jobs.Store.Postgres;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Protocol;
using Myelin.Serving.Registry;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Workers;

/// <summary>What a place where workers register keeps to.</summary>
public abstract class WorkerStoreConformance : IAsyncLifetime
{
    private static readonly DateTimeOffset s_now = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private IWorkerStore _store = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _store = await OpenAsync();

    public abstract ValueTask DisposeAsync();

    [Fact]
    public async Task Register_ThenList_GivesTheRowAndItsModelsApart()
    {
        var row = Row("a") with { Address = "http://10.0.0.1:9000", Socket = "/run/a.sock", Draining = true, Models = [Iris("ready")], Revision = 7 };

        await _store.RegisterAsync(row, Token);

        var read = (await _store.ListAsync(Token)).ShouldHaveSingleItem();
        read.ShouldBe(row with { Models = read.Models });
        read.Models.ShouldBeEmpty();
        var model = (await _store.ModelsAsync("a", Token)).ShouldNotBeNull().ShouldHaveSingleItem();
        model.Name.ShouldBe("iris");
        model.Parameters.Single().Default!.Value.GetDouble().ShouldBe(0.5);
        (await _store.ModelsAsync("nobody", Token)).ShouldBeNull();
    }

    [Fact]
    public async Task Register_KnownWorker_ReplacesTheRow()
    {
        await _store.RegisterAsync(Row("a") with { Address = "http://old:1", Models = [Iris("loading")], Revision = 1 }, Token);

        await _store.RegisterAsync(Row("a") with { Capacity = 9, Revision = 2 }, Token);

        var read = (await _store.ListAsync(Token)).ShouldHaveSingleItem();
        (read.Capacity, read.Revision, read.Address).ShouldBe((9, 2, null));
        (await _store.ModelsAsync("a", Token)).ShouldNotBeNull().ShouldBeEmpty();
    }

    [Fact]
    public async Task Beat_KnownWorker_RenewsAndKeepsTheModels()
    {
        await _store.RegisterAsync(Row("a") with { Models = [Iris("ready")] }, Token);

        (await _store.BeatAsync(Row("a") with { Running = 3, Draining = true, ExpiresAt = s_now.AddSeconds(99) }, Token)).ShouldBeTrue();

        var read = (await _store.ListAsync(Token)).ShouldHaveSingleItem();
        (read.Running, read.Draining, read.ExpiresAt).ShouldBe((3, true, s_now.AddSeconds(99)));
        (await _store.ModelsAsync("a", Token)).ShouldNotBeNull().ShouldHaveSingleItem();
    }

    [Fact]
    public async Task Beat_UnknownWorker_ChangesNothingAndSaysSo()
    {
        (await _store.BeatAsync(Row("a"), Token)).ShouldBeFalse();

        (await _store.ListAsync(Token)).ShouldBeEmpty();
    }

    [Fact]
    public async Task Forget_TakesOnlyWhatExpiredBefore()
    {
        await _store.RegisterAsync(Row("old") with { ExpiresAt = s_now.AddSeconds(-1) }, Token);
        await _store.RegisterAsync(Row("new") with { StartedAt = s_now.AddSeconds(1) }, Token);
        await _store.RegisterAsync(Row("oldest"), Token);

        (await _store.ForgetAsync(s_now, Token)).ShouldBe(1);

        (await _store.ListAsync(Token)).Select(w => w.Id).ShouldBe(["oldest", "new"], "oldest first");
    }

    private protected abstract Task<IWorkerStore> OpenAsync();

    private static WorkerRow Row(string id) => new()
    {
        Id = id,
        Host = "machine/1",
        Capacity = 2,
        StartedAt = s_now,
        SeenAt = s_now,
        ExpiresAt = s_now.AddSeconds(15),
    };

    private static Model Iris(string state) => new()
    {
        Id = "iris",
        Name = "iris",
        Task = "tensor",
        State = state,
        Parameters = [new ModelParameter("threshold", "number", "least score") { Default = System.Text.Json.JsonSerializer.SerializeToElement(0.5) }],
    };
}

public sealed class SqliteWorkerStoreTests : WorkerStoreConformance
{
    private readonly TemporaryFolder _folder = new();
    private SqliteJobStore? _jobs;

    private protected override Task<IWorkerStore> OpenAsync()
    {
        _jobs = SqliteJobStore.Open(_folder.Path, TimeProvider.System, TimeSpan.FromHours(1), _ => { });
        return Task.FromResult<IWorkerStore>(new SqliteWorkerStore(_jobs.Database));
    }

    public override async ValueTask DisposeAsync()
    {
        await _jobs!.DisposeAsync();
        _folder.Dispose();
    }
}

public sealed class PostgresWorkerStoreTests : WorkerStoreConformance
{
    private PostgresJobStore? _jobs;

    private protected override async Task<IWorkerStore> OpenAsync()
    {
        var database = await PostgresDatabase.CreateAsync(TestContext.Current.CancellationToken);
        _jobs = await database.OpenAsync(TimeProvider.System);
        return new PostgresWorkerStore(_jobs.Pool);
    }

    public override ValueTask DisposeAsync() => _jobs?.DisposeAsync() ?? ValueTask.CompletedTask;
}
