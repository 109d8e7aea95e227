namespace Myelin.Hosting.Storage.Sqlite;

/// <summary>A piece of work for the writer. May run more than once: its batch is rolled back when another piece fails.</summary>
internal abstract class SqliteOperation
{
    /// <summary>Runs inside the batch's transaction; touches nothing but the session and the writer's own state.</summary>
    public abstract void Run(SqliteSession session);

    /// <summary>The transaction is durable.</summary>
    public abstract void Complete();

    public abstract void Fail(Exception fault);
}

internal sealed class SqliteOperation<T>(Func<SqliteSession, T> work, CancellationToken cancellationToken) : SqliteOperation
{
    // Continuations run elsewhere: the writer's thread never does a caller's work.
    private readonly TaskCompletionSource<T> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _cancelled;
    private T _result = default!;

    public Task<T> Task => _completion.Task;

    public override void Run(SqliteSession session)
    {
        // Given up before its turn: nothing is done. Later the caller hears what happened, cancelled or not.
        _cancelled = cancellationToken.IsCancellationRequested;
        if (!_cancelled)
        {
            _result = work(session);
        }
    }

    public override void Complete()
    {
        if (_cancelled)
        {
            _completion.SetCanceled(cancellationToken);
        }
        else
        {
            _completion.SetResult(_result);
        }
    }

    public override void Fail(Exception fault) => _completion.TrySetException(fault);
}
