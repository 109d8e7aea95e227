using System.Diagnostics.Metrics;
using System.Globalization;
using Myelin.Hosting.Telemetry;
using Myelin.Inference;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks;
using Myelin.Serving.Models;

namespace Myelin.Serving.Admission;

/// <summary>
/// Memory of calls under <c>runtime.memoryBudget</c>, which they share with the models kept loaded. A call enters with
/// what its task estimates for its shape: what can never fit is refused unless the model is made for it, what does not fit
/// now waits, first come, first served, inside the time of its attempt; idle models make way. Models in use cannot, so a
/// quarter of the budget is the calls' whatever those take, and one call may always run: else a large model would make
/// all others wait for each other. Who waits holds a permit of the worker or a place for a call, so waiters are as few.
/// </summary>
internal sealed class CallMemory : IDisposable
{
    /// <summary>Less is not counted: it comes and goes between two looks.</summary>
    private const long Small = 16L << 20;

    /// <summary>What a call of this size leaves in the allocator is given back to the system.</summary>
    private const long Large = 128L << 20;

    /// <summary>Part of the budget that calls have beside models that cannot go.</summary>
    private const int Share = 4;

    private readonly Lock _lock = new();
    private readonly LinkedList<Entry> _waiting = [];
    private readonly Func<long, long> _makeRoom;
    private readonly long _budget;
    private readonly Meter _meter;
    private readonly Counter<long> _refused;
    private long _taken;

    /// <param name="makeRoom">Unloads idle models until the rest takes at most so many bytes, or no more can go; gives what the rest takes.</param>
    /// <param name="budget">Bytes for models and calls.</param>
    /// <param name="meters">Where it is counted.</param>
    public CallMemory(Func<long, long> makeRoom, long budget, IMeterFactory meters)
    {
        (_makeRoom, _budget, _meter) = (makeRoom, budget, meters.Create(MetricsPage.MeterName));
        _refused = _meter.CreateCounter<long>("myelin.runtime.memory.refused", "{call}", "Calls that could never fit into runtime.memoryBudget.");
        _meter.CreateObservableGauge("myelin.runtime.memory.calls", () => Taken, "By", "Estimated memory of the calls under way.");
        _meter.CreateObservableGauge("myelin.runtime.memory.waiting", () => Waiting, "{call}", "Calls that wait for memory.");
    }

    /// <summary>Estimated bytes of the calls under way.</summary>
    public long Taken => Volatile.Read(ref _taken);

    /// <summary>Calls in line.</summary>
    public int Waiting
    {
        get
        {
            lock (_lock)
            {
                return _waiting.Count;
            }
        }
    }

    /// <summary>The same source of tasks, whose calls run once their memory is there.</summary>
    public AcquireTask Admitting(AcquireTask acquire) => async (model, token) =>
    {
        var lease = await acquire(model, token);
        return new TaskLease(new AdmittedTask(lease.Task, this), lease.Dispose);
    };

    /// <summary>Waits for the memory; disposing gives it back.</summary>
    /// <exception cref="InputException">It is more than the whole budget, and more than the model is made for.</exception>
    public async ValueTask<IDisposable?> EnterAsync(MemoryNeed need, CancellationToken cancellationToken)
    {
        if (need.Bytes < Small)
        {
            return null;
        }

        if (need.Bytes > _budget && !need.Usual)
        {
            _refused.Add(1);
            throw new InputException(
                need.Field,
                string.Create(CultureInfo.InvariantCulture, $"would take some {Gibibytes(need.Bytes)} of memory; this server gives {Gibibytes(_budget)} (runtime.memoryBudget). {need.Cure}"),
                InputErrorCode.TooLarge);
        }

        var entry = new Entry(this, need.Bytes);
        lock (_lock)
        {
            _waiting.AddLast(entry);
        }

        Admit();
        try
        {
            await entry.Admitted.Task.WaitAsync(cancellationToken);
            return entry;
        }
        catch
        {
            entry.Dispose();
            throw;
        }
    }

    public void Dispose() => _meter.Dispose();

    private static string Gibibytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):0.#} GiB");

    /// <summary>Lets in from the front of the line whoever fits. A large one at the front is not overtaken, so it is not starved.</summary>
    private void Admit()
    {
        lock (_lock)
        {
            while (_waiting.First is { Value: var next })
            {
                var calls = _taken + next.Bytes;
                if (_taken > 0 && calls > _budget)
                {
                    return; // no model that goes could let it in
                }

                var models = _makeRoom(_budget - calls);
                if (_taken > 0 && calls > Math.Max(_budget - models, _budget / Share))
                {
                    return;
                }

                _waiting.RemoveFirst();
                Volatile.Write(ref _taken, calls);
                next.Holds = true;
                next.Admitted.TrySetResult();
            }
        }
    }

    private void Leave(Entry entry)
    {
        lock (_lock)
        {
            if (entry.Holds)
            {
                entry.Holds = false;
                _taken -= entry.Bytes;
            }
            else
            {
                _waiting.Remove(entry);
            }
        }

        if (entry.Bytes >= Large)
        {
            NativeHeap.Trim();
        }

        Admit();
    }

    /// <summary>One call: in line until it holds its bytes.</summary>
    private sealed class Entry(CallMemory memory, long bytes) : IDisposable
    {
        private int _left;

        public long Bytes => bytes;

        public TaskCompletionSource Admitted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>Guarded by the lock.</summary>
        public bool Holds { get; set; }

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _left, 1) == 0)
            {
                memory.Leave(this);
            }
        }
    }

    /// <summary>A task whose calls wait for their memory.</summary>
    private sealed class AdmittedTask(ITask task, CallMemory memory) : ITask
    {
        public async Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken)
        {
            using var entry = await memory.EnterAsync(task.MemoryOf(input), cancellationToken);
            return await task.RunAsync(input, progress, cancellationToken);
        }

        /// <summary>The lease's own affair.</summary>
        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
