using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Sqlite;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Storage;

public sealed class SqliteJobStoreTests : JobStoreConformance
{
    private readonly TemporaryFolder _folder = new();
    private SqliteJobStore? _store;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Reopen_AfterClose_KeepsJobsAndDepths()
    {
        var job = await InsertAsync(NewJob());
        await RunningAsync();
        await _store!.DisposeAsync();

        _store = SqliteJobStore.Open(_folder.Path, Time, Retention, _ => { });

        (await _store.GetAsync(job.Id, Token))!.Id.ShouldBe(job.Id);
        _store.QueueDepth("m").ShouldBe(1);
    }

    [Fact]
    public void Open_FolderInUse_SaysTheCure()
    {
        var refused = Should.Throw<IOException>(() => SqliteJobStore.Open(_folder.Path, Time, Retention, _ => { }));
        refused.Message.ShouldContain("--data");
    }

    [Fact]
    public async Task Write_FaultyOperation_HarmsNoOther()
    {
        var operations = Enumerable.Range(0, 60).Select(i => i % 20 == 7
            ? (Task)_store!.Database.WriteAsync<int>(_ => throw new InvalidOperationException("faulty"), Token)
            : Store.InsertAsync(NewJob(), [], 1000, Token).AsTask()).ToArray();

        await Task.WhenAll(operations.Select(o => o.ContinueWith(_ => { }, TaskScheduler.Default)));

        operations.Count(o => o.IsFaulted).ShouldBe(3);
        Store.QueueDepth("m").ShouldBe(57);
        (await Store.QueuedAsync(null, 1000, Token)).Length.ShouldBe(57);
    }

    /// <summary>Every connection for lists is held, then every one for rows: neither waits for the other.</summary>
    [Fact]
    public async Task Reads_OfManyRowsAndOfOne_DoNotWaitForEachOther()
    {
        var job = await InsertAsync(NewJob());
        using var go = new ManualResetEventSlim();
        var lists = Enumerable.Range(0, 10).Select(_ => Task.Run(() => _store!.Database.ReadLongAsync(Hold, Token).AsTask(), Token)).ToList();
        (await Store.GetAsync(job.Id, Token))!.Id.ShouldBe(job.Id);
        go.Set();
        await Task.WhenAll(lists);

        go.Reset();
        var rows = Enumerable.Range(0, 10).Select(_ => Task.Run(() => _store!.Database.ReadAsync(Hold, Token).AsTask(), Token)).ToList();
        (await Store.ListAsync(new JobFilter("t"), null, 10, Token)).ShouldHaveSingleItem();
        (await Store.PositionsAsync([job], Token))[job.Id].ShouldBe(0);
        (await Store.QueuedAsync(null, 10, Token)).ShouldHaveSingleItem();
        go.Set();
        await Task.WhenAll(rows);

        bool Hold(SqliteSession session) => go.Wait(TimeSpan.FromMinutes(1), Token);
    }

    [Fact]
    public async Task Write_CancelledBeforeItsTurn_StoresNothing()
    {
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(async () => await Store.InsertAsync(NewJob(), [], 1000, cancelled.Token));

        Store.QueueDepth("m").ShouldBe(0);
    }

    [Fact]
    public async Task Prepare_TextsBuiltPerCall_StayWithinTheBoundAndAnswer()
    {
        for (var i = 0; i < 1000; i++)
        {
            var sum = await _store!.Database.ReadAsync(
                session =>
                {
                    using var row = session.Prepare($"SELECT {i} + ?1");
                    row.Bind(1, 1);
                    row.Step();
                    return row.Int64(0);
                },
                Token);
            sum.ShouldBe(i + 1);
        }

        _store!.Database.Statements.ShouldBeLessThan(6 * SqliteStatements.Most);
    }

    private protected override ValueTask<int> StatementsAsync() => ValueTask.FromResult(_store!.Database.Statements);

    private protected override IInstallationStore Installations => new SqliteInstallationStore(_store!.Database);

    private protected override ValueTask<IJobStore> OpenAsync()
    {
        _store = SqliteJobStore.Open(_folder.Path, Time, Retention, _ => { });
        return ValueTask.FromResult<IJobStore>(_store);
    }

    private protected override async ValueTask<IJobStore> BeforeMigrationAsync(string sql, int number)
    {
        await _store!.Database.WriteAsync(
            session =>
            {
                session.Execute($"{sql}; DELETE FROM migrations WHERE number = {number}");
                return 0;
            },
            Token);
        await _store.DisposeAsync();
        return await OpenAsync();
    }

    private protected override async ValueTask CloseAsync()
    {
        await _store!.DisposeAsync();
        _folder.Dispose();
    }
}
