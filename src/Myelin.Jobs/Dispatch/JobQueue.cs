using Myelin.Jobs.Store;

namespace Myelin.Jobs.Dispatch;

/// <summary>
/// Which queued job a worker should try next. An index in memory, fed by hints from the bus and by reading Storage;
/// what it holds may be out of date, because the claim in Storage decides. Classes share starts by weight (smooth
/// weighted round robin: low gets its share also in a long run of highs), inside a class tenants take turns; jobs of a
/// key come one at a time; a job in back-off comes when that has passed. Whoever takes a job tells what became of it:
/// <see cref="Claimed"/>, <see cref="Gone"/>, <see cref="KeyBusy"/> or <see cref="Later"/>. One lock guards everything;
/// each call costs a few logarithms, also with hundreds of thousands of jobs.
/// </summary>
internal sealed class JobQueue(PriorityWeights weights, TimeProvider time, int limit = JobQueue.DefaultLimit)
{
    /// <summary>Hints kept in memory, about 300 bytes each; past that they are left to Storage (see <see cref="NeedsRescan"/>).</summary>
    public const int DefaultLimit = 200_000;

    /// <summary>A lane that hears of no end looks itself after this long: a lost message costs seconds.</summary>
    private static readonly TimeSpan s_lookAgain = TimeSpan.FromSeconds(5);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, QueueEntry> _entries = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Tenant, string Key), KeyLane> _lanes = [];
    private readonly ClassLine[] _classes = [new(weights.High), new(weights.Normal), new(weights.Low)];
    private readonly PriorityQueue<(QueueEntry? Entry, int Moves, KeyLane? Lane), DateTimeOffset> _timers = new();
    private TaskCompletionSource _changed = NewChange();
    private TaskCompletionSource? _shrunk;
    private bool _overflowed;

    /// <summary>Jobs known and not claimed yet.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _entries.Count;
            }
        }
    }

    /// <summary>Keys with a job that waits or runs, as far as this process heard.</summary>
    public int Lanes
    {
        get
        {
            lock (_gate)
            {
                return _lanes.Count;
            }
        }
    }

    /// <summary>True when Storage may hold queued jobs that are not known here: nothing is known, or hints were turned away.</summary>
    public bool NeedsRescan
    {
        get
        {
            lock (_gate)
            {
                return _entries.Count == 0 || (_overflowed && _entries.Count <= limit / 2);
            }
        }
    }

    /// <summary>Makes a job known; one that is known already changes nothing. False when there is no room.</summary>
    /// <param name="hint">The job.</param>
    /// <param name="settle">Called once the queue has no more to do with this hint: claimed, gone, or known already. Must be quick.</param>
    public bool Offer(JobHint hint, Action? settle = null)
    {
        lock (_gate)
        {
            if (!_entries.ContainsKey(hint.Id))
            {
                if (_entries.Count >= limit)
                {
                    _overflowed = true;
                    return false;
                }

                var entry = new QueueEntry(hint, settle);
                _entries.Add(hint.Id, entry);
                Enter(entry);
                return true;
            }
        }

        settle?.Invoke();
        return true;
    }

    /// <summary>Waits while <paramref name="window"/> jobs of a class could start: whoever brings more may leave them where they are.</summary>
    public async ValueTask RoomAsync(JobPriority priority, int window, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task shrunk;
            lock (_gate)
            {
                if (_classes[(int)priority].Count < window)
                {
                    return;
                }

                shrunk = (_shrunk ??= NewChange()).Task;
            }

            await shrunk.WaitAsync(cancellationToken);
        }
    }

    /// <summary>Storage is about to be read from its start: what is turned away from now on counts anew.</summary>
    public void StartRescan()
    {
        lock (_gate)
        {
            _overflowed = false;
        }
    }

    /// <summary>The next job to try; waits until there is one.</summary>
    public async ValueTask<JobHint> TakeAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            Task changed;
            TimeSpan wait;
            lock (_gate)
            {
                var now = time.GetUtcNow();
                RunTimers(now);
                if (TryTake() is { } entry)
                {
                    return entry.Hint;
                }

                changed = _changed.Task;
                wait = _timers.TryPeek(out _, out var due) ? Bounded(due - now) : Timeout.InfiniteTimeSpan;
            }

            try
            {
                await changed.WaitAsync(wait, time, cancellationToken);
            }
            catch (TimeoutException)
            {
                // A timer is due.
            }
        }
    }

    /// <summary>It runs here now.</summary>
    public void Claimed(JobHint hint) => Settle(hint, static (queue, entry) =>
    {
        if (entry.Lane is { } lane)
        {
            queue.Block(lane, entry.Hint.Id);
        }
    });

    /// <summary>It needs nobody any more.</summary>
    public void Gone(JobHint hint) => Settle(hint, static (queue, entry) =>
    {
        if (entry.Lane is { } lane)
        {
            queue.Advance(lane);
        }
    });

    /// <summary>An earlier job of its key is alive: it waits for that one's end.</summary>
    public void KeyBusy(JobHint hint)
    {
        lock (_gate)
        {
            if (Find(hint) is { Lane: { } lane } entry)
            {
                lane.Front = null;
                Park(entry);
                if (lane.Parked.Min == entry)
                {
                    Block(lane, runner: null);
                }
                else
                {
                    Advance(lane);
                }
            }
        }
    }

    /// <summary>Not before then.</summary>
    public void Later(JobHint hint, DateTimeOffset notBefore)
    {
        lock (_gate)
        {
            if (Find(hint) is { } entry)
            {
                entry.NotBefore = notBefore;
                Place(entry);
            }
        }
    }

    /// <summary>
    /// Takes note of what the bus says: a job that ended, or that another worker runs, is dropped; the next one of an
    /// ended job's key comes forward.
    /// </summary>
    public void Observe(JobSignal signal)
    {
        if (signal.Kind == JobSignalKind.Progress)
        {
            return;
        }

        lock (_gate)
        {
            if (signal.State == JobState.Running)
            {
                Elsewhere(signal);
                return;
            }

            if (signal.Kind == JobSignalKind.End && _entries.TryGetValue(signal.Job, out var entry) && entry.Place != QueuePlace.Taken)
            {
                Drop(entry);
            }

            if (signal.Key is { } key && _lanes.TryGetValue((signal.Tenant, key), out var lane) && (lane.Runner ?? signal.Job) == signal.Job)
            {
                (lane.Busy, lane.Runner) = (false, null);
                Advance(lane);
            }
        }
    }

    private static TaskCompletionSource NewChange() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Never zero and at most an hour: what timers of every kind take.</summary>
    private static TimeSpan Bounded(TimeSpan wait) =>
        TimeSpan.FromTicks(Math.Clamp(wait.Ticks, TimeSpan.TicksPerMillisecond, TimeSpan.TicksPerHour));

    private QueueEntry? TryTake()
    {
        // Smooth weighted round robin: every class with work earns its weight, the richest one starts and pays for all.
        ClassLine? richest = null;
        var total = 0;
        foreach (var line in _classes)
        {
            if (line.Count > 0)
            {
                total += line.Weight;
                line.Credit += line.Weight;
                if (richest is null || line.Credit > richest.Credit)
                {
                    richest = line;
                }
            }
        }

        if (richest is null)
        {
            return null;
        }

        richest.Credit -= total;
        var entry = richest.Take();
        entry.Place = QueuePlace.Taken;
        Shrunk();
        return entry;
    }

    private QueueEntry? Find(JobHint hint) => _entries.TryGetValue(hint.Id, out var entry) && entry.Place == QueuePlace.Taken ? entry : null;

    private void Settle(JobHint hint, Action<JobQueue, QueueEntry> then)
    {
        lock (_gate)
        {
            if (Find(hint) is { } entry)
            {
                _entries.Remove(hint.Id);
                entry.Settle();
                if (entry.Lane is { } lane)
                {
                    lane.Front = null;
                }

                then(this, entry);
                Forget(entry.Lane);
            }
        }
    }

    private void Enter(QueueEntry entry)
    {
        if (entry.Hint.Key is not { } key)
        {
            Place(entry);
            return;
        }

        var name = (entry.Hint.Tenant, key);
        if (!_lanes.TryGetValue(name, out var lane))
        {
            _lanes.Add(name, lane = new KeyLane(name));
        }

        entry.Lane = lane;
        Park(entry);
        if (lane.Busy)
        {
            Block(lane, lane.Runner);
        }

        Advance(lane);
    }

    /// <summary>Into its line, or behind a timer while its back-off lasts.</summary>
    private void Place(QueueEntry entry)
    {
        entry.Moves++;
        if (entry.NotBefore is { } notBefore && notBefore > time.GetUtcNow())
        {
            entry.Place = QueuePlace.Delayed;
            _timers.Enqueue((entry, entry.Moves, null), notBefore);
        }
        else
        {
            entry.Place = QueuePlace.Ready;
            _classes[(int)entry.Hint.Priority].Add(entry);
        }

        Wake();
    }

    private static void Park(QueueEntry entry)
    {
        entry.Moves++;
        entry.Place = QueuePlace.Parked;
        entry.Lane!.Parked.Add(entry);
    }

    /// <summary>Brings the earliest parked job forward unless the lane is taken.</summary>
    private void Advance(KeyLane lane)
    {
        if (lane.Front is null && !lane.Busy && lane.Parked.Min is { } next)
        {
            lane.Parked.Remove(next);
            lane.Front = next;
            Place(next);
        }

        Forget(lane);
    }

    private void Block(KeyLane lane, string? runner)
    {
        (lane.Busy, lane.Runner) = (true, runner);
        if (!lane.LookScheduled)
        {
            lane.LookScheduled = true;
            _timers.Enqueue((null, 0, lane), time.GetUtcNow() + s_lookAgain);
            Wake();
        }
    }

    /// <summary>
    /// Another worker claimed a job that waits here. Only where this claim came after the hint: word of an earlier
    /// attempt must not drop the hint of the next.
    /// </summary>
    private void Elsewhere(JobSignal signal)
    {
        if (_entries.TryGetValue(signal.Job, out var entry) && entry.Place != QueuePlace.Taken
            && entry.Hint.Attempt is { } attempt && signal.EventId >= EventIds.Claimed(attempt + 1))
        {
            if (entry.Lane is { } lane)
            {
                Block(lane, signal.Job);
            }

            Drop(entry);
        }
    }

    private void Drop(QueueEntry entry)
    {
        _entries.Remove(entry.Hint.Id);
        entry.Settle();
        if (entry.Place == QueuePlace.Ready)
        {
            _classes[(int)entry.Hint.Priority].Remove(entry);
            Shrunk();
        }

        entry.Moves++;
        if (entry.Lane is { } lane)
        {
            lane.Parked.Remove(entry);
            if (lane.Front == entry)
            {
                lane.Front = null;
                Advance(lane);
            }

            Forget(lane);
        }
    }

    private void Forget(KeyLane? lane)
    {
        // A timer may still hold a lane that was forgotten before; the key's new lane is not its to remove.
        if (lane is { Front: null, Busy: false, Parked.Count: 0 } && ReferenceEquals(_lanes.GetValueOrDefault(lane.Name), lane))
        {
            _lanes.Remove(lane.Name);
        }
    }

    private void RunTimers(DateTimeOffset now)
    {
        while (_timers.TryPeek(out var timer, out var due) && due <= now)
        {
            _timers.Dequeue();
            if (timer.Entry is { Place: QueuePlace.Delayed } entry && entry.Moves == timer.Moves)
            {
                Place(entry);
            }
            else if (timer.Lane is { } lane)
            {
                lane.LookScheduled = false;
                (lane.Busy, lane.Runner) = (false, null);
                Advance(lane);
            }
        }
    }

    private void Shrunk()
    {
        _shrunk?.TrySetResult();
        _shrunk = null;
    }

    private void Wake()
    {
        _changed.TrySetResult();
        _changed = NewChange();
    }
}
