using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Storage;

public sealed class FullDiskTests
{
    private readonly JobIds _ids = new(TimeProvider.System);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Insert_DiskFull_RefusesThenRecoversWithNothingLost()
    {
        using var disk = SmallDisk.Mount(megabytes: 4);
        var ballast = Path.Combine(disk.Path, "ballast");
        await File.WriteAllBytesAsync(ballast, new byte[2 << 20], Token);
        var stored = new List<string>();
        await using (var store = SqliteJobStore.Open(Path.Combine(disk.Path, "data"), TimeProvider.System, TimeSpan.FromHours(1), _ => { }))
        {
            (await FillAsync(store, stored)).ShouldBeTrue("the disk never filled");
            (await InsertAsync(store, stored)).ShouldBe(InsertStatus.StorageFull);
            store.QueueDepth("m").ShouldBe(stored.Count);
            (await store.GetAsync(stored[^1], Token)).ShouldNotBeNull();

            File.Delete(ballast);

            (await InsertAsync(store, stored)).ShouldBe(InsertStatus.Inserted);
            store.QueueDepth("m").ShouldBe(stored.Count);
        }

        await using var reopened = SqliteJobStore.Open(Path.Combine(disk.Path, "data"), TimeProvider.System, TimeSpan.FromHours(1), _ => { });
        foreach (var id in stored)
        {
            (await reopened.GetAsync(id, Token)).ShouldNotBeNull();
        }

        reopened.QueueDepth("m").ShouldBe(stored.Count);
    }

    private async Task<bool> FillAsync(SqliteJobStore store, List<string> stored)
    {
        for (var i = 0; i < 2000; i++)
        {
            if (await InsertAsync(store, stored) == InsertStatus.StorageFull)
            {
                return true;
            }
        }

        return false;
    }

    private async Task<InsertStatus> InsertAsync(SqliteJobStore store, List<string> stored)
    {
        var job = new JobRecord { Id = _ids.Next(), Tenant = "t", Model = "m", CreatedAt = TimeProvider.System.GetUtcNow(), Parameters = new byte[4000] };
        var status = (await store.InsertAsync(job, [], int.MaxValue, Token)).Status;
        if (status == InsertStatus.Inserted)
        {
            stored.Add(job.Id);
        }

        return status;
    }
}
