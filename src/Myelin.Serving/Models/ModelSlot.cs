using System.Diagnostics.CodeAnalysis;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Sidecars.Processes;
using Myelin.Inference.Tasks;

namespace Myelin.Serving.Models;

/// <summary>
/// One version of a model's folder and, while somebody needs it, its loaded task. Users hold leases; the task is
/// disposed when the slot is retired (the folder changed) or unloaded (memory budget) and the last lease is gone.
/// All state is guarded by one lock that is never held across an await.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "The source of cancellation has no timer and no wait handle: nothing to give back.")]
internal sealed class ModelSlot(
    ModelEntry entry, string folder, ModelFingerprint found, Func<ModelDefinition, CancellationToken, Task<ITask>> load, TimeProvider time)
{
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _unwanted = new();
    private ModelEntry _entry = entry;
    private Task<ITask>? _task;
    private int _users;
    private bool _retired;

    /// <summary>The last load failed for a reason that passes.</summary>
    private bool _failed;
    private long _lastUsed = time.GetTimestamp();
    private Task _disposal = Task.CompletedTask;

    /// <summary>Of a retired slot: ends once its last user has gone and its task is disposed.</summary>
    private readonly TaskCompletionSource _gone = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The folder with <c>model.yaml</c>.</summary>
    public string Folder { get; } = folder;

    /// <summary>Changes whenever a file of the folder does.</summary>
    public string Fingerprint { get; } = found.Value;

    /// <summary>Size of the weights in bytes: what the memory budget counts.</summary>
    public long Bytes { get; } = found.Bytes;

    public ModelEntry Entry
    {
        get
        {
            lock (_lock)
            {
                return Sick() is { Count: > 0 } errors ? _entry with { State = ModelState.Broken, Errors = errors } : _entry;
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

    /// <summary>Loaded, and what executes it still can.</summary>
    public bool Serves
    {
        get
        {
            lock (_lock)
            {
                return _task is { IsCompletedSuccessfully: true } && Sick().Count == 0;
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

            if (Sick() is { Count: > 0 } errors)
            {
                throw new ModelException(errors);
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
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            Release();
            return null; // nobody wants this version any more
        }
        catch
        {
            Release();
            throw;
        }
    }

    /// <summary>Ends once a retired slot holds nothing more.</summary>
    public Task Gone => _gone.Task;

    /// <summary>No new users; the task goes when the last one has gone.</summary>
    public void Retire()
    {
        lock (_lock)
        {
            _retired = true;
            DropIfUnused();
            EndIfUnused();
            if (_users == 0)
            {
                _unwanted.Cancel();
            }
        }
    }

    /// <summary>This version goes on, and its entry says why the newer one in the folder does not take its place.</summary>
    public void KeepBecause(IReadOnlyList<ModelError> errors)
    {
        lock (_lock)
        {
            _entry = _entry with { Errors = errors };
        }
    }

    /// <summary>Whether it could not be loaded for a reason that passes, and that was so long ago.</summary>
    public bool FailedBefore(TimeSpan pause)
    {
        lock (_lock)
        {
            return _failed && time.GetElapsedTime(_lastUsed) >= pause;
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
        _entry = _entry with { State = ModelState.Loading, Errors = [] };
        return Task.Run(async () =>
        {
            try
            {
                var task = await load(_entry.Definition!, _unwanted.Token);
                Become(_entry with { State = ModelState.Ready });
                return task;
            }
            catch (ModelException e)
            {
                // What may be there the next time is asked again by the next user.
                Become(_entry with { State = e.Transient ? ModelState.Available : ModelState.Broken, Errors = e.Errors }, again: e.Transient);
                throw;
            }
            catch (OperationCanceledException) when (_unwanted.IsCancellationRequested)
            {
                throw;
            }
            catch (Exception e)
            {
                // A fault that nobody foresaw still only breaks this model, and says so.
                var errors = new[] { new ModelError(_entry.Definition!.Revision, "", e.Message) };
                var passes = Shortage.Is(e);
                Become(_entry with { State = passes ? ModelState.Available : ModelState.Broken, Errors = errors }, again: passes);
                throw new ModelException(errors) { Transient = passes };
            }
        });
    }

    private void Become(ModelEntry entry, bool again = false)
    {
        lock (_lock)
        {
            _entry = entry;
            _task = again ? null : _task;
            _failed = again;
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
                EndIfUnused();
            }
        }
    }

    /// <summary>Called under the lock: why the loaded task can be called no more.</summary>
    private IReadOnlyList<ModelError> Sick() =>
        _task is { IsCompletedSuccessfully: true, Result: IRuntimeHealth sidecar } ? sidecar.Broken : [];

    /// <summary>Called under the lock.</summary>
    private bool DropIfUnused()
    {
        if (_users > 0 || _task is not { IsCompletedSuccessfully: true } loaded)
        {
            return false;
        }

        _task = null;
        _entry = _entry with { State = ModelState.Available };
        _disposal = Task.WhenAll(_disposal, loaded.Result.DisposeAsync().AsTask());
        return true;
    }

    /// <summary>Called under the lock, of a retired slot.</summary>
    private void EndIfUnused()
    {
        if (_users == 0 && _task is null or { IsCompleted: true })
        {
            _ = _disposal.ContinueWith(_ => _gone.TrySetResult(), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }
    }
}
