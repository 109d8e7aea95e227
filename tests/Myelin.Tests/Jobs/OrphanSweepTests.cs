using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Artifacts.S3;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage.Sqlite;
using Myelin.Hosting.Telemetry;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Jobs.Store.Sqlite;
using Myelin.Jobs.Upkeep;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Jobs;

public sealed class FolderSweepTests : OrphanSweepConformance
{
    private protected override ValueTask<IArtifacts> OpenAsync() => new(new FolderArtifacts(Folder.Combine("blobs")));

    private protected override async Task PutAsync(string key, string content)
    {
        var path = Folder.Combine("blobs", key);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        await File.WriteAllTextAsync(path, content, Token);
    }

    private protected override Task<bool> ExistsAsync(string key) => Task.FromResult(File.Exists(Folder.Combine("blobs", key)));

    /// <summary>The database remembers two generations: more sweeps than that end between database and mark, then it goes on.</summary>
    [Fact]
    public async Task Sweep_MarkCouldNotBeWrittenThreeTimes_GoesOn()
    {
        await Sweep.SweepAsync(Token);
        var obstacle = Folder.Combine("blobs", ".tmp-.myelin");
        Directory.CreateDirectory(obstacle);
        for (var i = 0; i < 3; i++)
        {
            await Should.ThrowAsync<Exception>(Sweep.SweepAsync(Token));
        }

        Directory.Delete(obstacle);
        var old = await BlobAsync();
        Time.Advance(TimeSpan.FromDays(100));
        await Sweep.SweepAsync(Token);

        (await LeftAsync(old)).ShouldBeEmpty();
        Refusals().ShouldBeEmpty();
    }

    [Fact]
    public async Task Sweep_BlobThatCannotBeDeleted_TakesTheOthers()
    {
        await Sweep.SweepAsync(Token);
        string[] old = [await BlobAsync(), await BlobAsync(), await BlobAsync()];
        Time.Advance(TimeSpan.FromDays(100));
        using (Undeletable.Make(Folder.Combine("blobs", old[0][^2..], old[0], "input-image")))
        {
            await Sweep.SweepAsync(Token);

            (await LeftAsync(old)).ShouldBe([old[0]]);
            Log.Warnings.ShouldHaveSingleItem().ShouldContain(old[0]);
        }

        await Sweep.SweepAsync(Token);
        (await LeftAsync(old)).ShouldBeEmpty();
    }
}

/// <summary>At the root of a bucket that others use too.</summary>
public sealed class S3SweepTests : OrphanSweepConformance
{
    private const string Prefix = "";

    private S3Server? _server;
    private S3Artifacts? _artifacts;
    private AmazonS3Client? _client;

    private protected override async ValueTask<IArtifacts> OpenAsync()
    {
        _server = await S3Server.StartAsync();
        var options = new S3Options { Endpoint = _server.Endpoint, Bucket = S3Server.Bucket, AccessKey = S3Server.AccessKey, SecretKey = S3Server.SecretKey, Prefix = Prefix };
        var credentials = new BasicAWSCredentials(S3Server.AccessKey, S3Server.SecretKey);
        _client = new AmazonS3Client(credentials, new AmazonS3Config { ServiceURL = _server.Endpoint, ForcePathStyle = true, AuthenticationRegion = options.Region });
        return _artifacts = new S3Artifacts(options);
    }

    private protected override Task PutAsync(string key, string content) =>
        _client!.PutObjectAsync(new PutObjectRequest { BucketName = S3Server.Bucket, Key = Prefix + key, ContentBody = content }, Token);

    private protected override async Task<bool> ExistsAsync(string key)
    {
        var page = await _client!.ListObjectsV2Async(new ListObjectsV2Request { BucketName = S3Server.Bucket, Prefix = Prefix + key }, Token);
        return page.S3Objects is { } found && found.Exists(o => o.Key == Prefix + key);
    }

    private protected override async ValueTask CloseAsync()
    {
        _artifacts?.Dispose();
        _client?.Dispose();
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
    }
}

/// <summary>Whose blobs a sweep takes, and whose never: on a real database and a real store of blobs.</summary>
public abstract class OrphanSweepConformance : IAsyncLifetime
{
    private static readonly TimeSpan s_retention = TimeSpan.FromHours(24);

    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly Lines _log = new();
    private readonly ManualTime _time = new();
    private readonly JobIds _ids;
    private SqliteJobStore? _store;
    private IArtifacts? _artifacts;
    private OrphanSweep? _sweep;

    protected OrphanSweepConformance() => _ids = new JobIds(_time);

    private protected static CancellationToken Token => TestContext.Current.CancellationToken;

    private protected TemporaryFolder Folder { get; } = new();

    private protected OrphanSweep Sweep => _sweep!;

    private protected ManualTime Time => _time;

    private protected Lines Log => _log;

    private SqliteInstallationStore Installations => new(_store!.Database);

    private protected abstract ValueTask<IArtifacts> OpenAsync();

    private protected abstract Task PutAsync(string key, string content);

    private protected abstract Task<bool> ExistsAsync(string key);

    private protected virtual ValueTask CloseAsync() => default;

    public async ValueTask InitializeAsync()
    {
        _artifacts = await OpenAsync();
        Use("database");
    }

    [Fact]
    public async Task Sweep_OfItsOwn_TakesPurgedJobsAndOldOnesWithoutARow()
    {
        await _sweep!.SweepAsync(Token); // an empty place is marked
        var (kept, purged) = (await JobAsync(), await JobAsync());
        await EndAndPurgeAsync(purged);
        var old = await BlobAsync();
        _time.Advance(s_retention + TimeSpan.FromMinutes(50));
        var young = await BlobAsync();
        await _sweep.SweepAsync(Token);
        (await LeftAsync(kept, purged, old, young)).ShouldBe([kept, old, young]);

        _time.Advance(TimeSpan.FromMinutes(20));
        await _sweep.SweepAsync(Token);

        (await LeftAsync(kept, purged, old, young)).ShouldBe([kept, young]);
    }

    /// <summary>Backups in the same bucket, another installation below a prefix of its own, a key without a slash, a name that only looks like an id.</summary>
    [Fact]
    public async Task Sweep_WhatIsNoJobs_Survives()
    {
        string[] others =
        [
            "backups/db.dump", $"staging/{_ids.Next()}/input-image", $"staging/.myelin", $"zz/{new string('z', 26)}/input-image", $"{new string('z', 26)}/input-image",
            "01orphanold/input-image", "no-slash", "b/no-slash",
        ];
        foreach (var other in others)
        {
            await PutAsync(other, "x");
        }

        await _sweep!.SweepAsync(Token);
        var old = await BlobAsync();
        _time.Advance(TimeSpan.FromDays(100));

        await _sweep.SweepAsync(Token);

        (await LeftAsync(old)).ShouldBeEmpty("the others end no sweep");
        foreach (var other in others)
        {
            (await ExistsAsync(other)).ShouldBeTrue(other);
        }
    }

    [Fact]
    public async Task Sweep_FreshDatabaseOnAnothersBlobs_TakesNothingAndSaysSoOnce()
    {
        await _sweep!.SweepAsync(Token);
        var others = await BlobAsync();
        await ReplaceAsync("fresh");
        var own = await JobAsync();
        _time.Advance(TimeSpan.FromDays(100));

        await _sweep.SweepAsync(Token);
        await _sweep.SweepAsync(Token);

        (await LeftAsync(others, own)).ShouldBe([others, own]);
        _log.Warnings.ShouldHaveSingleItem().ShouldContain("another database's");
        Refusals().ShouldBe(["Foreign"]);
    }

    [Fact]
    public async Task Sweep_NoMarkAndJobsThatAreNotKnown_TakesNothingUntilSomebodySaysWhoseTheyAre()
    {
        var unknown = await BlobAsync();
        await JobAsync();
        _time.Advance(TimeSpan.FromDays(100));
        await _sweep!.SweepAsync(Token);
        (await LeftAsync(unknown)).ShouldBe([unknown]);
        _log.Warnings.ShouldHaveSingleItem().ShouldContain((await Installations.ReadAsync(Token)).Id);
        Refusals().ShouldBe(["Unmarked"]);

        await PutAsync(".myelin", (await Installations.ReadAsync(Token)).Id + "\n");
        await _sweep.SweepAsync(Token);

        (await LeftAsync(unknown)).ShouldBeEmpty();
        Refusals().ShouldBeEmpty();
    }

    /// <summary>As the version before left it: no mark, every job known but for one whose submission is under way.</summary>
    [Fact]
    public async Task Sweep_NoMarkAndEveryJobKnown_TakesOver()
    {
        var known = await JobAsync();
        _time.Advance(TimeSpan.FromHours(2));
        var underWay = await BlobAsync();

        await _sweep!.SweepAsync(Token);

        (await ExistsAsync(".myelin")).ShouldBeTrue();
        (await LeftAsync(known, underWay)).ShouldBe([known, underWay]);
        _time.Advance(s_retention + TimeSpan.FromHours(2));
        await _sweep.SweepAsync(Token);
        (await LeftAsync(known, underWay)).ShouldBe([known]);
    }

    /// <summary>A backup knows nothing of the jobs that came after it.</summary>
    [Fact]
    public async Task Sweep_RestoredDatabase_TakesNothing()
    {
        await _sweep!.SweepAsync(Token);
        await BackUpAsync("backup");
        var after = await JobAsync();
        _time.Advance(TimeSpan.FromHours(1));
        await _sweep.SweepAsync(Token);
        await ReplaceAsync("backup");
        _time.Advance(TimeSpan.FromDays(100));

        await _sweep.SweepAsync(Token);

        (await LeftAsync(after)).ShouldBe([after]);
        _log.Warnings.ShouldHaveSingleItem().ShouldContain("backup");
        Refusals().ShouldBe(["Restored"]);
    }

    /// <summary>Between two sweeps the mark cannot tell: what the backup lacks stays for as long as a job is kept.</summary>
    [Fact]
    public async Task Sweep_RestoredDatabaseThatNoSweepLeft_TakesNothingWithinTheRetention()
    {
        await _sweep!.SweepAsync(Token);
        await BackUpAsync("backup");
        var after = await JobAsync();
        await ReplaceAsync("backup");
        _time.Advance(s_retention);

        await _sweep.SweepAsync(Token);

        (await LeftAsync(after)).ShouldBe([after]);
    }

    [Fact]
    public async Task Sweep_DiedBetweenDatabaseAndMark_GoesOn()
    {
        await _sweep!.SweepAsync(Token);
        (await Installations.AdvanceAsync("never written beside the blobs", Token)).ShouldBeTrue();
        var old = await BlobAsync();
        _time.Advance(TimeSpan.FromDays(100));

        await _sweep.SweepAsync(Token);

        (await LeftAsync(old)).ShouldBeEmpty();
    }

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        if (_store is not null)
        {
            await _store.DisposeAsync();
        }

        await CloseAsync();
        Folder.Dispose();
        await _services.DisposeAsync();
    }

    private void Use(string database)
    {
        _store = SqliteJobStore.Open(Folder.Combine(database), _time, s_retention, _ => { });
        var meters = _services.GetRequiredService<IMeterFactory>();
        var options = new MyelinOptions { Jobs = new JobsOptions { Retention = s_retention } };
        var ownership = new BlobOwnership(Installations, _store, _artifacts!, _time);
        _sweep = new OrphanSweep(_store, _artifacts!, ownership, new JobInstruments(meters, new InferenceInstruments(meters)), options, _time, _log);
    }

    private async Task ReplaceAsync(string database)
    {
        await _store!.DisposeAsync();
        Use(database);
    }

    private async Task BackUpAsync(string database)
    {
        Directory.CreateDirectory(Folder.Combine(database));
        await _store!.Database.WriteAsync(_ => 0, Token);
        await _store.DisposeAsync();
        File.Copy(Folder.Combine("database", "myelin.db"), Folder.Combine(database, "myelin.db"));
        Use("database");
    }

    /// <summary>A queued job with a blob.</summary>
    private async Task<string> JobAsync()
    {
        var id = await BlobAsync();
        var job = new JobRecord { Id = id, Tenant = "t", Model = "m", CreatedAt = _time.GetUtcNow(), Inputs = [new JobArtifact("image", "t/t", 1, "h")] };
        (await _store!.InsertAsync(job, [], 1000, Token)).Status.ShouldBe(InsertStatus.Inserted);
        return id;
    }

    /// <summary>What a crash between blob and row leaves.</summary>
    private protected async Task<string> BlobAsync()
    {
        var id = _ids.Next();
        await _artifacts!.PutAsync(id, "input-image", "t/t", new MemoryStream([1]), Token);
        return id;
    }

    private async Task EndAndPurgeAsync(string id)
    {
        await _store!.CancelAsync(id, _time.GetUtcNow(), Token);
        (await _store.PurgeAsync(_time.GetUtcNow() + s_retention, 10, Token)).ShouldBe([new PurgedJob(id, HasBlobs: true)]);
    }

    private protected async Task<List<string>> LeftAsync(params string[] ids)
    {
        var left = new List<string>();
        foreach (var id in ids)
        {
            await using var blob = await _artifacts!.OpenAsync(id, "input-image", Token);
            if (blob is not null)
            {
                left.Add(id);
            }
        }

        return left;
    }

    /// <summary>Reasons that the metric shows.</summary>
    private protected List<string> Refusals()
    {
        var reasons = new ConcurrentBag<string>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, l) =>
        {
            if (instrument.Name == "myelin.artifacts.sweep_refused" && instrument.Meter.Scope == _services.GetRequiredService<IMeterFactory>())
            {
                l.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<int>((_, value, tags, _) =>
        {
            if (value == 1)
            {
                reasons.Add((string)tags[0].Value!);
            }
        });
        listener.Start();
        listener.RecordObservableInstruments();
        return [.. reasons.Distinct()];
    }

    private protected sealed class Lines : ILogger<OrphanSweep>
    {
        public List<string> Warnings { get; } = [];

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (logLevel >= LogLevel.Warning)
            {
                Warnings.Add(formatter(state, exception));
            }
        }
    }
}
