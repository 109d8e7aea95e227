using Myelin.Server.Storage;
using Myelin.Server.Storage.Postgres;
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

        _store = await fixture.Database.OpenAsync(Time);

        (await _store.GetAsync(job.Id, Token))!.Id.ShouldBe(job.Id);
        _store.QueueDepth("m").ShouldBe(1);
    }

    private protected override async ValueTask<IJobStore> OpenAsync()
    {
        _store = await fixture.Database.OpenAsync(Time);
        await fixture.Database.ClearAsync();
        return _store;
    }

    private protected override async ValueTask CloseAsync()
    {
        if (_store is not null)
        {
            await _store.DisposeAsync();
        }
    }

    /// <summary>One database for the class.</summary>
    public sealed class Fixture : IAsyncLifetime
    {
        internal PostgresDatabase Database { get; private set; } = null!;

        public async ValueTask InitializeAsync() => Database = await PostgresDatabase.CreateAsync(CancellationToken.None);

        public ValueTask DisposeAsync() => default;
    }
}
