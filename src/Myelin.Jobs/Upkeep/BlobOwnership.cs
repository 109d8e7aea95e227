using System.Security.Cryptography;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Storage;
using Myelin.Jobs.Store;

namespace Myelin.Jobs.Upkeep;

/// <summary>Whose the blobs are that lie where ours are kept.</summary>
internal enum Ownership
{
    /// <summary>The mark is this database's, as its last sweep left it.</summary>
    Own,

    /// <summary>The mark is another database's.</summary>
    Foreign,

    /// <summary>There is no mark, but blobs of jobs that this database does not know.</summary>
    Unmarked,

    /// <summary>The mark is newer than this database: it is a backup that was restored, or a copy.</summary>
    Restored,

    /// <summary>Another process coordinates by now.</summary>
    Superseded,
}

/// <summary>
/// The mark beside the blobs: the id of their database, and the generation that its last sweep left there and in the
/// database. What carries no mark is taken over where all of it is this database's: nothing is there, or every job with
/// blobs is known (but for submissions under way).
/// </summary>
internal sealed class BlobOwnership(IInstallationStore installations, IJobStore store, IArtifacts artifacts, TimeProvider time)
{
    private const string Note = "Blobs beside this belong to the Myelin database with this id. See Blobs and their owner in docs/operations.md before you change it.";

    /// <summary>Looks at the mark and, where the blobs are our own, leaves a new generation in it.</summary>
    public async Task<(Ownership Ownership, string Database)> TakeAsync(CancellationToken cancellationToken)
    {
        var own = await installations.ReadAsync(cancellationToken);
        var (ownership, marked) = await LookAsync(own, cancellationToken);
        if (ownership != Ownership.Own)
        {
            return (ownership, own.Id);
        }

        // The database first: a mark that it does not know would mean that it was restored. Where the mark of the last time
        // was not written it is made up for, and the database, asked for the same again, stays: it remembers no more than two.
        var generation = own.Generation is { } present && marked is not null && marked != present
            ? present : Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
        if (!await installations.AdvanceAsync(generation, cancellationToken))
        {
            return (Ownership.Superseded, own.Id);
        }

        await artifacts.WriteMarkAsync($"{own.Id} {generation}\n{Note}\n", cancellationToken);
        return (Ownership.Own, own.Id);
    }

    /// <summary>Also the generation in the mark; null where it holds none.</summary>
    private async Task<(Ownership Ownership, string? Generation)> LookAsync(Installation own, CancellationToken cancellationToken)
    {
        if (await artifacts.ReadMarkAsync(cancellationToken) is not { } mark)
        {
            return (await IsAllKnownAsync(cancellationToken) ? Ownership.Own : Ownership.Unmarked, null);
        }

        return mark.Split('\n')[0].Split(' ', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) switch
        {
            [var id, ..] when id != own.Id => (Ownership.Foreign, null),
            [_] => (Ownership.Own, null), // written by hand: the word of whoever runs this
            [_, var generation] when generation == own.Generation || generation == own.Previous => (Ownership.Own, generation),
            [_, ..] => (Ownership.Restored, null),
            [] => (Ownership.Foreign, null),
        };
    }

    private async Task<bool> IsAllKnownAsync(CancellationToken cancellationToken)
    {
        var (known, young) = (0, 0);
        await foreach (var page in artifacts.ListJobsAsync(cancellationToken).Where(JobIds.IsValid).Chunk(OrphanSweep.Page).WithCancellation(cancellationToken))
        {
            var found = await store.FindPurgedAsync(page, cancellationToken);
            var before = time.GetUtcNow() - OrphanSweep.UnderWay;
            if (page.Any(id => !found.ContainsKey(id) && JobIds.Time(id) < before))
            {
                return false;
            }

            known += found.Count;
            young += page.Length - found.Count;
        }

        return known > 0 || young == 0;
    }
}
