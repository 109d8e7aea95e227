using System.Collections.Immutable;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks;
using Myelin.Server.Configuration;

namespace Myelin.Server.Models;

/// <summary>
/// The models of this process: the built-in folders beside the program and the repository of the options, whose
/// models win over built-in ones of the same name. The table is a snapshot, swapped whole by <see cref="Rescan"/>; tasks
/// load on demand, are shared by concurrent users, and the longest unused go when the memory budget is passed.
/// </summary>
internal sealed partial class ModelRepository(MyelinOptions options, ModelLoader loader, TimeProvider time, ILogger<ModelRepository> log)
{
    private readonly Lock _scan = new();
    private readonly Dictionary<string, ITask> _system = [];
    private ImmutableSortedDictionary<string, ModelSlot> _slots = ImmutableSortedDictionary<string, ModelSlot>.Empty;

    /// <summary>Where models are installed and uploaded.</summary>
    public string Folder { get; } = Path.GetFullPath(options.Models ?? Path.Combine(options.Data, "models"));

    /// <summary>Models that come with the program; read-only.</summary>
    public static string BuiltIn { get; } = Path.Combine(AppContext.BaseDirectory, "models");

    /// <summary>Every model, broken ones too, by name.</summary>
    public IReadOnlyList<ModelEntry> List() => [.. _slots.Values.Select(s => s.Entry)];

    public ModelEntry? Find(string name) => _slots.GetValueOrDefault(name)?.Entry;

    public bool IsBuiltIn(string name) =>
        Find(name)?.Definition?.ModelFolder.StartsWith(BuiltIn, StringComparison.Ordinal) ?? false;

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
                    KeepBudget();
                }

                return lease;
            }
        }

        throw new ModelException([new ModelError(name, "", "is no longer in the repository; GET /v1/models lists what is")]);
    }

    /// <summary>
    /// Reads the folders again. A model whose files changed is replaced under traffic: running calls finish on the old
    /// version. A folder that changed within the last second is left for the next scan: somebody is still copying.
    /// </summary>
    /// <returns>True when anything changed.</returns>
    public bool Rescan(bool settle)
    {
        lock (_scan)
        {
            var found = ImmutableSortedDictionary.CreateBuilder<string, ModelSlot>();
            foreach (var folder in Folders(BuiltIn).Concat(Folders(Folder)))
            {
                var name = Path.GetFileName(folder);
                var current = _slots.GetValueOrDefault(name);
                var (fingerprint, bytes, newest) = ModelLoader.Fingerprint(folder);
                var unsettled = settle && time.GetUtcNow() - newest < TimeSpan.FromSeconds(1);
                if (current?.Fingerprint == fingerprint || (unsettled && current is not null))
                {
                    found[name] = current;
                }
                else if (!unsettled)
                {
                    found[name] = new ModelSlot(ModelLoader.Read(folder), fingerprint, bytes, loader.LoadAsync, time);
                }
            }

            var before = _slots;
            _slots = found.ToImmutable();
            var gone = before.Where(s => !ReferenceEquals(_slots.GetValueOrDefault(s.Key), s.Value)).ToList();
            gone.ForEach(s => s.Value.Retire());
            var fresh = _slots.Where(s => !ReferenceEquals(before.GetValueOrDefault(s.Key), s.Value)).Select(s => s.Value.Entry).ToList();
            foreach (var model in fresh)
            {
                LogFound(log, model.Name, model.State, string.Join("; ", model.Errors.Select(e => $"{e.File} {e.Key}: {e.Message}")));
            }

            return gone.Count + fresh.Count > 0;
        }
    }

    /// <summary>Loads every model once, so that a broken file is known before somebody asks for it. One at a time, in name order.</summary>
    public async Task WarmAsync(CancellationToken cancellationToken)
    {
        foreach (var slot in _slots.Values.Where(s => s.Entry.State == ModelState.Available && s.Bytes < options.Runtime.MemoryBudget / 4))
        {
            try
            {
                using var lease = await slot.AcquireAsync(cancellationToken);
                KeepBudget();
            }
            catch (ModelException e)
            {
                LogBroken(log, slot.Entry.Name, e.Message);
            }
        }
    }

    public void UnloadAll()
    {
        lock (_scan)
        {
            var slots = _slots;
            _slots = ImmutableSortedDictionary<string, ModelSlot>.Empty;
            foreach (var slot in slots.Values)
            {
                slot.Retire();
            }
        }
    }

    private static IEnumerable<string> Folders(string root) => !Directory.Exists(root) ? [] : Directory.EnumerateDirectories(root)
        .Where(f => Path.GetFileName(f) is var name && name[0] != '.' && name != "catalogue" && File.Exists(Path.Combine(f, "model.yaml")))
        .Order(StringComparer.Ordinal);

    private void KeepBudget()
    {
        var loaded = _slots.Values.Where(s => s.Loaded).OrderByDescending(s => s.Idle).ToList();
        var total = loaded.Sum(s => s.Bytes);
        foreach (var slot in loaded)
        {
            if (total <= options.Runtime.MemoryBudget)
            {
                return;
            }

            if (slot.TryUnload())
            {
                total -= slot.Bytes;
                LogUnloaded(log, slot.Entry.Name);
            }
        }
    }

    [LoggerMessage(LogLevel.Information, "model {Name}: {State} {Errors}")]
    private static partial void LogFound(ILogger log, string name, ModelState state, string errors);

    [LoggerMessage(LogLevel.Warning, "model {Name} is broken: {Reason}")]
    private static partial void LogBroken(ILogger log, string name, string reason);

    [LoggerMessage(LogLevel.Information, "model {Name} unloaded to stay within the memory budget")]
    private static partial void LogUnloaded(ILogger log, string name);
}
