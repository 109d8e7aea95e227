using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Web;

/// <summary>
/// Bounds the memory of request bodies. A body larger than <see cref="Free"/> takes its length as a permit before it is
/// read; when none is left it waits unread, first come, first served, and TCP slows the sender down. Small bodies are
/// bounded by the number of connections. What the server fetches for a caller takes its permit likewise.
/// </summary>
internal sealed class BodyBudget(MyelinOptions options)
{
    /// <summary>Bytes that need no permit.</summary>
    public const long Free = 64 << 10;

    private readonly long _total = Math.Max(options.Input.BufferBytes, options.Input.MaxBytes);
    private readonly Lock _gate = new();
    private readonly LinkedList<(long Bytes, TaskCompletionSource Turn)> _waiting = [];
    private long _used;

    /// <param name="length">Declared length; null counts as the largest that is allowed.</param>
    /// <param name="cancellationToken">Leaves the line.</param>
    /// <returns>The permit; dispose it once the bytes are gone.</returns>
    public async ValueTask<Permit?> AcquireAsync(long? length, CancellationToken cancellationToken)
    {
        var bytes = Math.Min(length ?? options.Input.MaxBytes, _total);
        if (bytes <= Free)
        {
            return null;
        }

        LinkedListNode<(long Bytes, TaskCompletionSource Turn)> node;
        lock (_gate)
        {
            if (_waiting.Count == 0 && _used + bytes <= _total)
            {
                _used += bytes;
                return new Permit(this, bytes);
            }

            node = _waiting.AddLast((bytes, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)));
        }

        try
        {
            await node.Value.Turn.Task.WaitAsync(cancellationToken);
            return new Permit(this, bytes);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            Leave(node);
            throw;
        }
    }

    private void Leave(LinkedListNode<(long Bytes, TaskCompletionSource Turn)> node)
    {
        lock (_gate)
        {
            if (node.List is null)
            {
                _used -= node.Value.Bytes; // its turn came while it left
            }
            else
            {
                _waiting.Remove(node);
            }

            Admit();
        }
    }

    private void Release(long bytes)
    {
        lock (_gate)
        {
            _used -= bytes;
            Admit();
        }
    }

    private void Admit()
    {
        while (_waiting.First is { } first && _used + first.Value.Bytes <= _total)
        {
            _used += first.Value.Bytes;
            _waiting.RemoveFirst();
            first.Value.Turn.SetResult();
        }
    }

    internal sealed class Permit(BodyBudget budget, long bytes) : IDisposable
    {
        private long _bytes = bytes;

        /// <summary>Gives back what turned out not to be needed. Not at the same time as <see cref="Dispose"/>.</summary>
        public void Shrink(long needed)
        {
            if (needed < _bytes)
            {
                budget.Release(_bytes - needed);
                _bytes = needed;
            }
        }

        public void Dispose() => budget.Release(Interlocked.Exchange(ref _bytes, 0));
    }
}
