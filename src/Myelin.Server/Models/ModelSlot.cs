using Myelin.Inference.Models;
using Myelin.Inference.Tasks;

namespace Myelin.Server.Models;

/// <summary>
/// One version of a model's folder and, while somebody needs it, its loaded task. Users hold leases; the task is
/// disposed when the slot is retired (the folder changed) or unloaded (memory budget) and the last lease is gone.
/// All state is guarded by one lock that is never held across an await.
/// </summary>
internal sealed class ModelSlot(ModelEntry entry, string fingerprint, long bytes, Func<ModelDefinition, CancellationToken, Task<ITask>> load, TimeProvider time)
{
    private readonly Lock _lock = new();
    private ModelEntry _entry = entry;
    private Task<ITask>? _task;
    private int _users;
    private bool _retired;
    private long _lastUsed = time.GetTimestamp();

    /// <summary>Changes whenever a file of the folder does.</summary>
    public string Fingerprint { get; } = fingerprint;

    /// <summary>Size of the weights in bytes: what the memory budget counts.</summary>
    public long Bytes { get; } = bytes;

    public ModelEntry Entry
    {
        get
        {
            lock (_lock)
            {
                return _entry;
            }
        }
    }

    public bool Loaded
    {
        get
        {
            lock (_lock)
            {
                return _task is { IsCompletedSuccessfully: true };
            }
        }
    }

    public TimeSpan Idle
    {
        get
        {
            lock (_lock)
            {
                return _users > 0 ? TimeSpan.Zero : time.GetElapsedTime(_lastUsed);
            }
        }
    }

    /// <summary>The task, loaded by the first caller while the others wait. Null when the slot was retired: look the model up again.</summary>
    /// <exception cref="ModelException">The model is broken.</exception>
    public async ValueTask<TaskLease?> AcquireAsync(CancellationToken cancellationToken)
    {
        Task<ITask> task;
        lock (_lock)
        {
            if (_retired)
            {
                return null;
            }

            if (_entry is { State: ModelState.Broken } broken)
            {
                throw new ModelException(broken.Errors);
            }

            _users++;
            if (_task is null)
            {
                _task = LoadAsync();

                // All users may leave while it loads, and the folder may change: then nobody else would let it go.
                _ = _task.ContinueWith(_ => DropIfRetired(), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            }

            task = _task;
        }

        try
        {
            return new TaskLease(await task.WaitAsync(cancellationToken), Release);
        }
        catch
        {
            Release();
            throw;
        }
    }

    /// <summary>No new users; the task goes when the last one has gone.</summary>
    public void Retire()
    {
        lock (_lock)
        {
            _retired = true;
            DropIfUnused();
        }
    }

    /// <summary>Drops the task unless somebody uses it; the next user loads it again.</summary>
    public bool TryUnload()
    {
        lock (_lock)
        {
            return _users == 0 && DropIfUnused();
        }
    }

    private Task<ITask> LoadAsync()
    {
        _entry = _entry with { State = ModelState.Loading };
        return Task.Run(async () =>
        {
            try
            {
                var task = await load(_entry.Definition!, CancellationToken.None);
                Become(_entry with { State = ModelState.Ready });
                return task;
            }
            catch (ModelException e)
            {
                Become(_entry with { State = ModelState.Broken, Errors = e.Errors });
                throw;
            }
            catch (Exception e)
            {
                // A fault that nobody foresaw still only breaks this model, and says so.
                var errors = new[] { new ModelError(_entry.Definition!.Revision, "", e.Message) };
                Become(_entry with { State = ModelState.Broken, Errors = errors });
                throw new ModelException(errors);
            }
        });
    }

    private void Become(ModelEntry entry)
    {
        lock (_lock)
        {
            _entry = entry;
        }
    }

    private void Release()
    {
        lock (_lock)
        {
            _users--;
            _lastUsed = time.GetTimestamp();
        }

        DropIfRetired();
    }

    private void DropIfRetired()
    {
        lock (_lock)
        {
            if (_retired)
            {
                DropIfUnused();
            }
        }
    }

    /// <summary>Called under the lock.</summary>
    private bool DropIfUnused()
    {
        if (_users > 0 || _task is not { IsCompletedSuccessfully: true } loaded)
        {
            return false;
        }

        _task = null;
        _entry = _entry with { State = ModelState.Available };
        _ = loaded.Result.DisposeAsync().AsTask();
        return true;
    }
}
