using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Configuration;
using Myelin.Jobs;
using Myelin.Jobs.Store;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Workers;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Jobs;

/// <summary>The duties of the coordinator beside each other.</summary>
public sealed class UpkeepTests : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(90);

    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>However much there is to purge and to sweep: both stand here, and leases and deadlines are looked after all the same.</summary>
    [Fact]
    public async Task Recovery_WhileBlobsArePurgedAndSwept_GoesOn()
    {
        var options = JobsHost.Options(_folder);
        var slow = new SlowArtifacts(new FolderArtifacts(_folder.Combine("artifacts")));
        await using var host = await JobsHost.StartAsync(
            options with { Jobs = options.Jobs with { Retention = TimeSpan.FromMilliseconds(100) }, Worker = options.Worker with { Lease = TimeSpan.FromSeconds(1) } }, [], worker: false, more: s => s.Replace(ServiceDescriptor.Singleton<IArtifacts>(slow)));
        try
        {
            var purged = await host.SubmitAsync(new JobSubmission { Tenant = "t", Model = "m", Files = JobsHost.File("text", new string('x', 40_000)) });
            await host.Jobs.CancelAsync(purged.Id, Token);
            await slow.Deleting.WaitAsync(s_patience, Token);
            await slow.Listing.WaitAsync(s_patience, Token);

            var now = TimeProvider.System.GetUtcNow();
            var late = await host.SubmitAsync(new JobSubmission { Tenant = "t", Model = "m", Deadline = now.AddMilliseconds(50) });
            var lost = await host.SubmitAsync("m");
            (await host.Get<IJobStore>().ClaimAsync(lost.Id, new JobLease("gone", "token", now.AddMilliseconds(50)), now, Token)).Status.ShouldBe(ClaimStatus.Claimed);

            (await host.EndAsync(late.Id)).State.ShouldBe(JobState.Expired);
            await Wait.UntilAsync(async () => await host.Jobs.GetAsync(lost.Id, Token) is { State: JobState.Queued, Attempt: 1 });
            slow.Released.ShouldBeFalse();
        }
        finally
        {
            slow.Release();
        }

        await Wait.UntilAsync(() => !Directory.EnumerateFiles(_folder.Combine("artifacts"), "input-*", SearchOption.AllDirectories).Any());
    }

    /// <summary>What may go on for hours ends with the hold: another process has it.</summary>
    [Fact]
    public async Task Sweep_LeaseTakenByAnotherProcess_Ends()
    {
        var database = await PostgresDatabase.CreateAsync(Token);
        var slow = new SlowArtifacts(new FolderArtifacts(_folder.Combine("artifacts")));
        var options = JobsHost.Options(_folder) with { Storage = new StorageOptions { Connection = database.Connection, CoordinatorLease = TimeSpan.FromSeconds(1) } };
        await using var host = await JobsHost.StartAsync(options, [], worker: false, more: s => s.Replace(ServiceDescriptor.Singleton<IArtifacts>(slow)));
        await slow.Listing.WaitAsync(s_patience, Token);

        await database.ExecuteAsync("UPDATE leases SET owner = 'other', fence = fence + 1, expires_at = now() + interval '1 hour'");

        await slow.ListingEnded.WaitAsync(s_patience, Token);
        slow.Released.ShouldBeFalse();
    }

    /// <summary>A job whose inputs are small and which left no result costs the store of blobs nothing.</summary>
    [Fact]
    public async Task Purge_JobsWithoutBlobs_AskNothingOfTheirStore()
    {
        var options = JobsHost.Options(_folder);
        var slow = new SlowArtifacts(new FolderArtifacts(_folder.Combine("artifacts")));
        var quick = new TestTask((_, _, _) => Task.FromResult(TestTask.Done()));
        await using var host = await JobsHost.StartAsync(
            options with { Jobs = options.Jobs with { Retention = TimeSpan.FromMilliseconds(100) } }, new() { ["m"] = quick }, more: s => s.Replace(ServiceDescriptor.Singleton<IArtifacts>(slow)));
        slow.Release();
        var job = await host.SubmitAsync(new JobSubmission { Tenant = "t", Model = "m", Files = JobsHost.File("text", "small") });

        await Wait.UntilAsync(async () => await host.Jobs.GetAsync(job.Id, Token) is { Purged: true });
        await host.StopAsync();

        slow.Deleted.ShouldBeEmpty();
    }

    /// <summary>Its own blobs stay, for the sweep to try again; every other job's retention goes on.</summary>
    [Fact]
    public async Task Purge_BlobThatCannotBeDeleted_StopsNobodysRetention()
    {
        var options = JobsHost.Options(_folder);
        await using var host = await JobsHost.StartAsync(options with { Jobs = options.Jobs with { Retention = TimeSpan.FromMilliseconds(100) } }, [], worker: false);
        var (bad, good) = (await SubmitAsync(), await SubmitAsync());
        using (Undeletable.Make(Directory.EnumerateFiles(Folder(bad)).Single()))
        {
            await host.Jobs.CancelAsync(bad, Token);
            await Wait.UntilAsync(async () => await host.Jobs.GetAsync(bad, Token) is { Purged: true });

            await host.Jobs.CancelAsync(good, Token);

            await Wait.UntilAsync(() => !Directory.Exists(Folder(good)));
            Directory.Exists(Folder(bad)).ShouldBeTrue();
        }

        async Task<string> SubmitAsync() =>
            (await host.SubmitAsync(new JobSubmission { Tenant = "t", Model = "m", Files = JobsHost.File("text", new string('x', 40_000)) })).Id;

        string Folder(string job) => _folder.Combine("artifacts", job[^2..], job);
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>A store with so much in it that listing and deleting last until the test lets them end.</summary>
    private sealed class SlowArtifacts(IArtifacts inner) : IArtifacts
    {
        private readonly TaskCompletionSource _deleting = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _listing = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _release = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Deleting => _deleting.Task;

        public Task Listing => _listing.Task;

        public Task ListingEnded => _ended.Task;

        public bool Released => _release.Task.IsCompleted;

        public List<string> Deleted { get; } = [];

        public void Release() => _release.TrySetResult();

        public ValueTask<JobArtifact> PutAsync(string job, string name, string contentType, Stream content, CancellationToken cancellationToken) =>
            inner.PutAsync(job, name, contentType, content, cancellationToken);

        public ValueTask<Stream?> OpenAsync(string job, string name, CancellationToken cancellationToken) => inner.OpenAsync(job, name, cancellationToken);

        public Uri? Link(string job, string name, string contentType, string disposition) => inner.Link(job, name, contentType, disposition);

        public async ValueTask DeleteAsync(IReadOnlyCollection<string> jobs, CancellationToken cancellationToken)
        {
            if (jobs.Count > 0)
            {
                _deleting.TrySetResult();
                await _release.Task.WaitAsync(cancellationToken);
                lock (Deleted)
                {
                    Deleted.AddRange(jobs);
                }
            }

            await inner.DeleteAsync(jobs, cancellationToken);
        }

        public async IAsyncEnumerable<string> ListJobsAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
        {
            _listing.TrySetResult();
            try
            {
                await _release.Task.WaitAsync(cancellationToken);
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                _ended.TrySetResult();
                throw;
            }

            await foreach (var job in inner.ListJobsAsync(cancellationToken))
            {
                yield return job;
            }
        }

        public string MarkPlace => inner.MarkPlace;

        public ValueTask<string?> ReadMarkAsync(CancellationToken cancellationToken) => inner.ReadMarkAsync(cancellationToken);

        public ValueTask WriteMarkAsync(string mark, CancellationToken cancellationToken) => inner.WriteMarkAsync(mark, cancellationToken);
    }
}
