using System.Collections.Immutable;
using Myelin.Hosting.Work;
using Myelin.Serving.Models;

namespace Myelin.Serving.Registry;

/// <summary>
/// What this process knows of the workers: read every second, models only when their revision has changed. The snapshot
/// is swapped whole; any thread reads it. While storage is away the last one goes on counting as of when it was read,
/// because then no worker can renew its row either. Who is silent is judged by this process's monotonic clock: whose row no
/// longer changes (<see cref="LeaseWatch"/>). Only of a row that is seen for the first time its own time is believed, until
/// its next beat or for as long as it may be silent. A model of a silent worker stays known until the row is forgotten:
/// jobs for it wait for its return.
/// </summary>
internal sealed partial class WorkerDirectory(IWorkerStore store, WorkerInstruments instruments, TimeProvider time, ILogger<WorkerDirectory> logger)
    : BackgroundService, IWorkerModels
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(1);

    /// <summary>Refreshes come one after the other.</summary>
    private readonly LeaseWatch _watch = new(time, s_interval, TimeSpan.Zero);
    private volatile Snapshot _snapshot = Snapshot.Empty;

    /// <summary>Every row that is remembered, oldest first; neither live nor draining is silent.</summary>
    public IReadOnlyList<(WorkerRow Worker, bool Live, bool Draining)> All()
    {
        var snapshot = _snapshot;
        return [.. snapshot.Workers.Select(w => (w.Row, IsLive(w), w.Row.Draining && !w.Silent))];
    }

    /// <summary>Workers that take work.</summary>
    public ImmutableArray<WorkerRow> Live => _snapshot.Live;

    public IReadOnlyCollection<ModelEntry> List() => [.. _snapshot.Models.Values.Select(m => m.Entry)];

    public ModelEntry? Find(string name) => _snapshot.Models.GetValueOrDefault(name).Entry;

    public int Count(string name) => _snapshot.Models.GetValueOrDefault(name).Live;

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        // Before the first request, so that it finds its model.
        await TryAsync(cancellationToken);
        instruments.Observe(() => Live.Length);
        await base.StartAsync(cancellationToken);
    }

    public async Task RefreshAsync(CancellationToken cancellationToken)
    {
        var asked = time.GetTimestamp();
        var before = _snapshot.Workers.ToDictionary(w => w.Row.Id, StringComparer.Ordinal);
        var rows = await store.ListAsync(cancellationToken);
        var lapsed = _watch.Look(asked, [.. rows.Select(r => new HeldLease(r.Id, r.Id, r.ExpiresAt, r.ExpiresAt - r.SeenAt))])
            .Select(lease => lease.Id).ToHashSet(StringComparer.Ordinal);
        var workers = ImmutableArray.CreateBuilder<(WorkerRow, bool)>(rows.Count);
        foreach (var row in rows)
        {
            var isKnown = before.TryGetValue(row.Id, out var known);
            var models = isKnown && known.Row.Revision == row.Revision ? known.Row.Models : await store.ModelsAsync(row.Id, cancellationToken);

            // Once silent it stays so until it says something: a look that came late gives it no new time.
            var silent = lapsed.Contains(row.Id) || (isKnown ? known.Silent && known.Row.ExpiresAt == row.ExpiresAt : row.ExpiresAt <= time.GetUtcNow());
            workers.Add((row with { Models = models ?? [] }, silent));
        }

        _snapshot = new Snapshot(workers.ToImmutable());
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            using var timer = new PeriodicTimer(s_interval, time);
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                await TryAsync(stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Shutdown.
        }
    }

    private async Task TryAsync(CancellationToken cancellationToken)
    {
        try
        {
            await RefreshAsync(cancellationToken);
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            LogUnread(e);
        }
    }

    private static bool IsLive((WorkerRow Row, bool Silent) worker) => !worker.Row.Draining && !worker.Silent;

    /// <summary>Rows as of one reading, and what follows from them.</summary>
    private sealed class Snapshot(ImmutableArray<(WorkerRow Row, bool Silent)> workers)
    {
        public static readonly Snapshot Empty = new([]);

        public ImmutableArray<(WorkerRow Row, bool Silent)> Workers => workers;

        public ImmutableArray<WorkerRow> Live { get; } = [.. workers.Where(IsLive).Select(w => w.Row)];

        public ImmutableDictionary<string, (ModelEntry Entry, int Live)> Models { get; } = Merge(workers);

        /// <summary>Of each model the best there is: a live worker's before a silent one's, a ready one before one that has to load.</summary>
        private static ImmutableDictionary<string, (ModelEntry, int)> Merge(ImmutableArray<(WorkerRow Row, bool Silent)> workers) => workers
            .SelectMany(w => w.Row.Models.Select(m => (Entry: ModelView.Entry(m), Live: IsLive(w), w.Row.SeenAt)))
            .GroupBy(m => m.Entry.Name, StringComparer.Ordinal)
            .ToImmutableDictionary(
                g => g.Key,
                g =>
                {
                    var best = g.OrderByDescending(m => m.Live).ThenBy(m => Rank(m.Entry.State)).ThenByDescending(m => m.SeenAt).First();
                    var live = g.Count(m => m.Live && m.Entry.State != ModelState.Broken);
                    return (best.Live || best.Entry.State == ModelState.Broken ? best.Entry : Absent(best.Entry), live);
                },
                StringComparer.Ordinal);

        private static int Rank(ModelState state) => state switch
        {
            ModelState.Ready => 0,
            ModelState.Loading => 1,
            ModelState.Available => 2,
            _ => 3,
        };

        /// <summary>Nobody has it loaded: it loads on demand once a worker is back.</summary>
        private static ModelEntry Absent(ModelEntry entry) => entry with
        {
            State = ModelState.Available,
            Elsewhere = entry.Elsewhere! with { State = "available", Runtime = null },
        };
    }

    [LoggerMessage(LogLevel.Warning, "Workers could not be read; the last known ones count on")]
    private partial void LogUnread(Exception e);
}
