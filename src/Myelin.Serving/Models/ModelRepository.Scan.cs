using System.Collections.Immutable;

namespace Myelin.Serving.Models;

/// <summary>Looks at the folders: what is there, what changed, what is gone.</summary>
internal sealed partial class ModelRepository
{
    /// <summary>One look at the disk at a time, so that an older one undoes nothing that a newer one found. Never taken under <see cref="_scan"/>.</summary>
    private readonly Lock _look = new();

    /// <summary>By folder, what the last look found changed. Guarded by <see cref="_look"/>.</summary>
    private Dictionary<string, string> _changed = [];

    /// <summary>Models whose folder the last look missed. Guarded by <see cref="_look"/>.</summary>
    private HashSet<string> _gone = [];

    /// <summary>
    /// Reads the folders again. A model whose files changed is replaced under traffic: where the old version serves, the
    /// new one is loaded beside it and takes over once it is ready; running calls finish on the old one. A folder that
    /// differs from the scan before is left for the next one, somebody may still be copying (what its files' dates say does
    /// not matter: copies keep old ones, clocks give future ones); so is one that is gone, which may be on its way from one
    /// name to another.
    /// </summary>
    /// <param name="settle">False: what is there, or gone, counts at once.</param>
    /// <returns>True when anything changed.</returns>
    public bool Rescan(bool settle)
    {
        lock (_look)
        {
            var known = Latest();
            var gone = known.Where(s => !File.Exists(Path.Combine(s.Value.Folder, "model.yaml"))).Select(s => s.Key).ToHashSet();
            var changed = settle ? new Dictionary<string, string>() : null;
            var seen = Winners().ToDictionary(w => w.Key, w => Look(w.Value, known.GetValueOrDefault(w.Key), changed));
            foreach (var name in settle ? gone.Except(_gone) : [])
            {
                seen[name] = null;
            }

            (_gone, _changed) = (gone, changed ?? []);
            return Apply(seen, known);
        }
    }

    /// <summary>Loads a model anew from its folder as it is, under traffic; also one that was given up.</summary>
    /// <returns>The entry as it is now; null where there is no such model.</returns>
    public ModelEntry? Reload(string name)
    {
        if (!Winners().TryGetValue(name, out var folder))
        {
            return null;
        }

        var fresh = Look(folder, known: null, changed: null)!;
        var replacements = new List<Action>();
        lock (_scan)
        {
            if (_slots.GetValueOrDefault(name) is not { } current)
            {
                return null;
            }

            var slot = Renew(current, fresh, replacements);
            if (slot != current)
            {
                _slots = _slots.SetItem(name, slot);
                current.Retire();
            }

            replacements.ForEach(begin => begin());
            return slot.Entry;
        }
    }

    /// <summary>By name, the version that was found last: the one that loads, or the one that stands.</summary>
    private Dictionary<string, ModelSlot> Latest()
    {
        lock (_scan)
        {
            return _slots.ToDictionary(s => s.Key, s => _successors.GetValueOrDefault(s.Key) ?? s.Value);
        }
    }

    /// <summary>Reads one folder, outside the table's lock.</summary>
    /// <param name="changed">Takes down what is not as it was, for the next look; null where it counts at once.</param>
    /// <returns><paramref name="known"/> where it is as it was, null where somebody may still be at it.</returns>
    private ModelSlot? Look(string folder, ModelSlot? known, Dictionary<string, string>? changed)
    {
        var found = ModelFingerprint.Of(folder);
        if (known?.Fingerprint == found.Value)
        {
            return known;
        }

        if (changed is not null)
        {
            changed[folder] = found.Value;
            if (_changed.GetValueOrDefault(folder) != found.Value)
            {
                return null;
            }
        }

        if (!found.Whole)
        {
            LogNotWatched(log, Path.GetFileName(folder), ModelFingerprint.MaxEntries);
        }

        return new ModelSlot(ModelLoader.Read(folder), folder, found, loader.LoadAsync, time);
    }

    /// <summary>Swaps the table for what was seen. What was reloaded since the look began stays for the next one.</summary>
    /// <param name="seen">A slot per model; null leaves the one that stands.</param>
    /// <param name="known">What the look was compared with.</param>
    private bool Apply(Dictionary<string, ModelSlot?> seen, Dictionary<string, ModelSlot> known)
    {
        lock (_scan)
        {
            var found = ImmutableSortedDictionary.CreateBuilder<string, ModelSlot>();
            var replacements = new List<Action>();
            foreach (var name in _slots.Keys.Union(seen.Keys))
            {
                var current = _slots.GetValueOrDefault(name);
                var latest = _successors.GetValueOrDefault(name) ?? current;
                if (current is not null && (latest != known.GetValueOrDefault(name) || (seen.TryGetValue(name, out var same) && (same is null || same == latest))))
                {
                    found[name] = current;
                }
                else if (seen.GetValueOrDefault(name) is { } fresh)
                {
                    found[name] = Renew(current, fresh, replacements);
                }
            }

            foreach (var name in _successors.Keys.Where(name => !found.ContainsKey(name)).ToList())
            {
                Dismiss(name);
            }

            var before = _slots;
            _slots = found.ToImmutable();
            var lost = before.Where(s => !ReferenceEquals(_slots.GetValueOrDefault(s.Key), s.Value)).ToList();
            lost.ForEach(s => s.Value.Retire());
            var added = _slots.Where(s => !ReferenceEquals(before.GetValueOrDefault(s.Key), s.Value)).Select(s => s.Value.Entry).ToList();
            foreach (var model in added)
            {
                LogFound(log, model.Name, model.State, string.Join("; ", model.Errors.Select(e => $"{e.File} {e.Key}: {e.Message}")));
            }

            replacements.ForEach(begin => begin());
            return lost.Count + added.Count + replacements.Count > 0;
        }
    }

    /// <summary>The one folder that stands for each name, chosen before anything is compared: a loser would look like a change on every scan.</summary>
    private Dictionary<string, string> Winners()
    {
        var winners = Folders(BuiltIn).ToDictionary(f => Path.GetFileName(f)!);
        foreach (var own in Folders(Folder))
        {
            winners[Path.GetFileName(own)] = own;
        }

        return winners;
    }

    private static IEnumerable<string> Folders(string root) => !Directory.Exists(root) ? [] : Directory.EnumerateDirectories(root)
        .Where(f => Path.GetFileName(f) is var name && name[0] != '.' && name != "catalogue" && File.Exists(Path.Combine(f, "model.yaml")))
        .Order(StringComparer.Ordinal);

    [LoggerMessage(LogLevel.Warning, "model {Name}: more than {Most} files and folders; only its model.yaml is watched, POST /v1/models/{Name}/reload takes in the rest")]
    private static partial void LogNotWatched(ILogger log, string name, int most);

    [LoggerMessage(LogLevel.Information, "model {Name}: {State} {Errors}")]
    private static partial void LogFound(ILogger log, string name, ModelState state, string errors);
}
