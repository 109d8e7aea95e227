using Myelin.Hosting.Storage;
using Npgsql;

namespace Myelin.Jobs.Store.Postgres;

/// <summary>A write that waits for its turn in a batch. Written by the writer only, once it is queued.</summary>
internal abstract class PostgresWrite(PostgresStatement statement, string job, CancellationToken cancellationToken)
{
    /// <summary>What all writes of this kind are sent with.</summary>
    public PostgresStatement Statement { get; } = statement;

    /// <summary>Its id.</summary>
    public string Job { get; } = job;

    /// <summary>When it was queued.</summary>
    public long Since { get; set; }

    /// <summary>It was sent before and no answer came: its own effect may be there already.</summary>
    public bool Repeated { get; set; }

    /// <summary>Given up before its turn: nothing is done. Later the caller hears what happened, cancelled or not.</summary>
    public bool TryCancel() => cancellationToken.IsCancellationRequested && !Repeated && Cancel(cancellationToken);

    /// <summary>The transaction is durable.</summary>
    public abstract void Complete();

    public abstract void Fail(Exception fault);

    protected abstract bool Cancel(CancellationToken token);
}

/// <inheritdoc/>
internal abstract class PostgresWrite<T>(PostgresStatement statement, string job, CancellationToken cancellationToken)
    : PostgresWrite(statement, job, cancellationToken)
{
    // Continuations run elsewhere: the writer never does a caller's work.
    private readonly TaskCompletionSource<T> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<T> Task => _completion.Task;

    /// <summary>The answer, valid once the transaction is durable.</summary>
    public T Result { get; set; } = default!;

    public override void Complete() => _completion.SetResult(Result);

    /// <summary>Whatever became of the last try: an earlier one whose answer was lost may have stored it.</summary>
    public override void Fail(Exception fault) => _completion.TrySetException(
        Repeated && fault is not StorageUnavailableException ? new StorageUnavailableException($"it may have been stored by an earlier try: {fault.Message}", fault) : fault);

    protected override bool Cancel(CancellationToken token) => _completion.TrySetCanceled(token);
}

/// <summary>
/// One kind of write: sends all of a batch's writes of this kind in a few commands, whatever their number, and reads the
/// answers in the same order. Has no state.
/// </summary>
internal abstract class PostgresStatement
{
    /// <summary>Place inside the transaction; the same everywhere, so that transactions wait for each other in one order.</summary>
    public abstract int Order { get; }

    /// <summary>Two writes of one kind and identity never share a batch: the second sees what the first did.</summary>
    public virtual object IdentityOf(PostgresWrite write) => write.Job;

    /// <param name="batch">Takes the commands.</param>
    /// <param name="writes">At least one, in the order of their jobs' ids.</param>
    /// <param name="slot">This process's slot in <c>queue_depths</c>.</param>
    public abstract void Send(NpgsqlBatch batch, IReadOnlyList<PostgresWrite> writes, int slot);

    /// <summary>Sets every result; leaves the reader at the first result that is not its own.</summary>
    public abstract Task ReadAsync(NpgsqlDataReader reader, IReadOnlyList<PostgresWrite> writes, CancellationToken cancellationToken);

    /// <summary>The last word, once <paramref name="depths"/> are those after the batch.</summary>
    public virtual void Finish(IReadOnlyList<PostgresWrite> writes, QueueDepths depths)
    {
    }

    protected static void Add(NpgsqlBatch batch, string sql, Action<NpgsqlParameterCollection> parameters)
    {
        var command = new NpgsqlBatchCommand(sql);
        parameters(command.Parameters);
        batch.BatchCommands.Add(command);
    }
}
