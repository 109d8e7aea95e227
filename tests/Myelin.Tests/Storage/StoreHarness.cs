using System.Globalization;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Postgres;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Testing;
using Xunit;

namespace Myelin.Tests.Storage;

/// <summary>A database that a test can open, and leave as a killed process would.</summary>
internal interface IStoreHarness
{
    Task<IJobStore> OpenAsync(TimeProvider time);

    /// <summary>The process with this store dies; the next one opens what it left.</summary>
    Task<IJobStore> CrashAsync(IJobStore store, TimeProvider time, Random random);
}

/// <summary>A killed process leaves the files as they are, perhaps with the first bytes of a commit that did not finish.</summary>
internal sealed class SqliteHarness : IStoreHarness, IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private int _generation;

    private string Folder => _folder.Combine(_generation.ToString(CultureInfo.InvariantCulture));

    public Task<IJobStore> OpenAsync(TimeProvider time) => Task.FromResult<IJobStore>(SqliteJobStore.Open(Folder, time, JobModel.Retention, _ => { }));

    public async Task<IJobStore> CrashAsync(IJobStore store, TimeProvider time, Random random)
    {
        var left = Folder;
        _generation++;
        Directory.CreateDirectory(Folder);
        foreach (var file in new[] { "myelin.db", "myelin.db-wal" }.Where(f => File.Exists(Path.Combine(left, f))))
        {
            File.Copy(Path.Combine(left, file), Path.Combine(Folder, file));
        }

        await using (var wal = new FileStream(Path.Combine(Folder, "myelin.db-wal"), FileMode.Append))
        {
            var torn = new byte[random.Next(0, 9000)];
            random.NextBytes(torn);
            await wal.WriteAsync(torn, TestContext.Current.CancellationToken);
        }

        await ((SqliteJobStore)store).AbandonAsync();
        Directory.Delete(left, recursive: true);
        return await OpenAsync(time);
    }

    public void Dispose() => _folder.Dispose();
}

/// <summary>A killed process leaves what was committed.</summary>
internal sealed class PostgresHarness(PostgresDatabase database) : IStoreHarness
{
    public async Task<IJobStore> OpenAsync(TimeProvider time) => await database.OpenAsync(time, retention: JobModel.Retention);

    public async Task<IJobStore> CrashAsync(IJobStore store, TimeProvider time, Random random)
    {
        await ((PostgresJobStore)store).AbandonAsync();
        return await OpenAsync(time);
    }
}
