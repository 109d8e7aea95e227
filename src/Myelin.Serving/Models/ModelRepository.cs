using System.Collections.Immutable;
using Myelin.Hosting.Configuration;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks;

namespace Myelin.Serving.Models;

/// <summary>
/// The models of this process: the built-in folders beside the program and the repository of the options, whose
/// models win over built-in ones of the same name. The table is a snapshot, swapped whole by <see cref="Rescan"/>; tasks
/// load on demand, are shared by concurrent users, and the longest unused go when the memory budget is passed.
/// </summary>
internal sealed partial class ModelRepository(MyelinOptions options, ModelLoader loader, TimeProvider time, ILogger<ModelRepository> log)
{
    private readonly long _budget = options.Runtime.Budget;

    /// <summary>Guards the table; no file is read under it.</summary>
    private readonly Lock _scan = new();

    private readonly Dictionary<string, ITask> _system = [];

    /// <summary>Versions that load while the ones before them still serve, and those that did not load. Guarded by <see cref="_scan"/>.</summary>
    private readonly Dictionary<string, ModelSlot> _successors = [];
    private ImmutableSortedDictionary<string, ModelSlot> _slots = ImmutableSortedDictionary<string, ModelSlot>.Empty;

    /// <summary>What the calls under way take of the budget.</summary>
    public Func<long> CallBytes { private get; set; } = static () => 0;

    /// <summary>Where models are installed and uploaded.</summary>
    public string Folder { get; } = Path.GetFullPath(options.Models ?? Path.Combine(options.Data, "models"));

    /// <summary>Models that come with the program; read-only.</summary>
    public static string BuiltIn { get; } = Path.Combine(AppContext.BaseDirectory, "models");

    /// <summary>Every model, broken ones too, by name.</summary>
    public IReadOnlyList<ModelEntry> List() => [.. _slots.Values.Select(s => s.Entry)];

    public ModelEntry? Find(string name) => _slots.GetValueOrDefault(name)?.Entry;

    public bool IsBuiltIn(string name) =>
        Find(name)?.Definition?.ModelFolder.StartsWith(BuiltIn, StringComparison.Ordinal) ?? false;

    /// <summary>Whether jobs for it can run here: it is whole, or a task of the server itself.</summary>
    public bool Runs(string name) => _system.ContainsKey(name) || Find(name) is { State: not ModelState.Broken };

    /// <summary>
    /// A task of the server itself that runs as a job, such as an installation. Its name begins with <c>@</c>, which no
    /// caller can submit to.
    /// </summary>
    public void AddSystemTask(string name, ITask task) => _system.Add(name, task);

    /// <summary>The loaded task; dispose the lease to let it go. Loads on first use.</summary>
    /// <exception cref="ModelException">The model is broken or unknown.</exception>
    public async ValueTask<TaskLease> AcquireAsync(string name, CancellationToken cancellationToken)
    {
        if (_system.TryGetValue(name, out var system))
        {
            return new TaskLease(system, () => { });
        }

        while (_slots.GetValueOrDefault(name) is { } slot)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var cold = !slot.Loaded;
            if (await slot.AcquireAsync(cancellationToken) is { } lease)
            {
                if (cold)
                {
                    MakeRoom(_budget - CallBytes());
                }

                return lease;
            }
        }

        throw new ModelException([new ModelError(name, "", "is no longer in the repository; GET /v1/models lists what is")]);
    }

    /// <summary>Unloads idle models, the longest unused first, until the rest takes at most <paramref name="limit"/> bytes or none is idle.</summary>
    /// <returns>What the loaded ones take.</returns>
    public long MakeRoom(long limit)
    {
        var loaded = _slots.Values.Where(s => s.Loaded).OrderByDescending(s => s.Idle).ToList();
        var total = loaded.Sum(s => s.Bytes);
        foreach (var slot in loaded.TakeWhile(_ => total > limit))
        {
            if (slot.TryUnload())
            {
                total -= slot.Bytes;
                LogUnloaded(log, slot.Entry.Name);
            }
        }

        return total;
    }

    /// <summary>
    /// Loads every model once, so that a broken file is known before somebody asks for it. In name order, one at a time;
    /// sidecars, which load elsewhere, all at once.
    /// </summary>
    public async Task WarmAsync(CancellationToken cancellationToken)
    {
        var all = _slots.Values.Where(s => s.Entry.State == ModelState.Available && s.Bytes < _budget / 4).ToLookup(s => s.Entry.Definition!.Sidecar is not null);
        var sidecars = all[true].Select(slot => WarmAsync(slot, cancellationToken)).ToList();
        foreach (var slot in all[false])
        {
            await WarmAsync(slot, cancellationToken);
        }

        await Task.WhenAll(sidecars);
    }

    /// <summary>Loads those again that failed for a reason that passes; what is still so is shown, not logged each time.</summary>
    public Task WarmAgainAsync(TimeSpan pause, CancellationToken cancellationToken) => Task.WhenAll(_slots.Values.Where(s => s.FailedBefore(pause)).Select(async slot =>
    {
        try
        {
            using var lease = await slot.AcquireAsync(cancellationToken);
            LogBack(log, slot.Entry.Name);
        }
        catch (ModelException)
        {
            // Its entry says so.
        }
    }));

    /// <summary>Retires every model and waits until all have let go, for as long as a shutdown can: an abandoned task holds its model for ever.</summary>
    public async Task UnloadAllAsync(TimeSpan limit)
    {
        List<ModelSlot> slots;
        lock (_scan)
        {
            slots = [.. _slots.Values, .. _successors.Values];
            _successors.Keys.ToList().ForEach(Dismiss);
            _slots = ImmutableSortedDictionary<string, ModelSlot>.Empty;
            slots.ForEach(slot => slot.Retire());
        }

        try
        {
            await Task.WhenAll(slots.Select(slot => slot.Gone)).WaitAsync(limit, time);
        }
        catch (TimeoutException)
        {
            LogHeld(log, slots.Count(slot => !slot.Gone.IsCompleted), limit);
        }
    }

    /// <summary>Called under the lock: the slot that stands for a model whose folder has changed.</summary>
    private ModelSlot Renew(ModelSlot? current, ModelSlot fresh, List<Action> replacements)
    {
        var name = fresh.Entry.Name;
        Dismiss(name);
        if (current is not { Serves: true })
        {
            return fresh;
        }

        _successors[name] = fresh;
        replacements.Add(() => _ = ReplaceAsync(name, current, fresh));
        return current;
    }

    /// <summary>Called under the lock.</summary>
    private void Dismiss(string name)
    {
        if (_successors.Remove(name, out var successor))
        {
            successor.Retire();
        }
    }

    /// <summary>Loads the new version while the old one serves, then puts it in its place. A version that does not load changes nothing but the errors that are shown.</summary>
    private async Task ReplaceAsync(string name, ModelSlot current, ModelSlot fresh)
    {
        TaskLease? lease = null;
        try
        {
            lease = fresh.Entry.State == ModelState.Broken ? throw new ModelException(fresh.Entry.Errors) : await fresh.AcquireAsync(CancellationToken.None);
            lock (_scan)
            {
                if (lease is null || _successors.GetValueOrDefault(name) != fresh)
                {
                    return;
                }

                _successors.Remove(name);
                if (_slots.GetValueOrDefault(name) != current)
                {
                    fresh.Retire();
                    return;
                }

                _slots = _slots.SetItem(name, fresh);
            }

            current.Retire();
            LogReplaced(log, name, fresh.Entry.Definition!.Revision);
            MakeRoom(_budget - CallBytes());
        }
        catch (ModelException e)
        {
            current.KeepBecause([.. e.Errors.Select(error => error with { Message = error.Message + " (the version before it goes on)" })]);
            LogNotReplaced(log, name, e.Message);
        }
        finally
        {
            lease?.Dispose();
        }
    }

    private async Task WarmAsync(ModelSlot slot, CancellationToken cancellationToken)
    {
        try
        {
            using var lease = await slot.AcquireAsync(cancellationToken);
            MakeRoom(_budget - CallBytes());
        }
        catch (ModelException e)
        {
            LogBroken(log, slot.Entry.Name, e.Message);
        }
    }

    [LoggerMessage(LogLevel.Warning, "{Count} models were not let go within {Limit}")]
    private static partial void LogHeld(ILogger log, int count, TimeSpan limit);

    [LoggerMessage(LogLevel.Information, "model {Name} is replaced, revision {Revision} serves")]
    private static partial void LogReplaced(ILogger log, string name, string revision);

    [LoggerMessage(LogLevel.Warning, "model {Name}: the changed folder is not used, the version before it goes on: {Reason}")]
    private static partial void LogNotReplaced(ILogger log, string name, string reason);

    [LoggerMessage(LogLevel.Warning, "model {Name} is broken: {Reason}")]
    private static partial void LogBroken(ILogger log, string name, string reason);

    [LoggerMessage(LogLevel.Information, "model {Name} can be used now")]
    private static partial void LogBack(ILogger log, string name);

    [LoggerMessage(LogLevel.Information, "model {Name} unloaded to stay within the memory budget")]
    private static partial void LogUnloaded(ILogger log, string name);
}
