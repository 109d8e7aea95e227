using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Postgres;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Storage;

public sealed class PostgresJobStoreTests(PostgresJobStoreTests.Fixture fixture) : JobStoreConformance, IClassFixture<PostgresJobStoreTests.Fixture>
{
    private PostgresJobStore? _store;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Reopen_AfterClose_KeepsJobsAndDepths()
    {
        var job = await InsertAsync(NewJob());
        await RunningAsync();
        await _store!.DisposeAsync();

        _store = await (await fixture.GetAsync()).OpenAsync(Time);

        (await _store.GetAsync(job.Id, Token))!.Id.ShouldBe(job.Id);
        _store.QueueDepth("m").ShouldBe(1);
    }

    private protected override async ValueTask<int> StatementsAsync() => (await _store!.Pool.QueryAsync(
        Repeat.Harmless, "SELECT count(*)::integer FROM pg_prepared_statements", static _ => { }, static row => row.GetInt32(0), Token))[0];

    private protected override IInstallationStore Installations => new PostgresInstallationStore(_store!.Pool, _store.Coordinator);

    private protected override async ValueTask<IJobStore> OpenAsync()
    {
        var database = await fixture.GetAsync();
        _store = await database.OpenAsync(Time);
        await database.ClearAsync();
        return _store;
    }

    private protected override async ValueTask<IJobStore> BeforeMigrationAsync(string sql, int number)
    {
        await _store!.DisposeAsync();
        var database = await fixture.GetAsync();
        await database.ExecuteAsync($"{sql}; DELETE FROM migrations WHERE number = {number}");
        return _store = await database.OpenAsync(Time);
    }

    private protected override async ValueTask CloseAsync()
    {
        if (_store is not null)
        {
            await _store.DisposeAsync();
        }
    }

    /// <summary>One database for the class.</summary>
    public sealed class Fixture
    {
        private PostgresDatabase? _database;

        internal async Task<PostgresDatabase> GetAsync() => _database ??= await PostgresDatabase.CreateAsync(Token);
    }
}
