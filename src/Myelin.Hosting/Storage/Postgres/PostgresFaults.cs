using System.Net.Sockets;
using Npgsql;

namespace Myelin.Hosting.Storage.Postgres;

internal enum FaultKind
{
    /// <summary>The database is away, or went away before it answered: what was sent may have been stored.</summary>
    Lost,

    /// <summary>Two transactions stood in each other's way and this one was undone: the same again works.</summary>
    Again,

    /// <summary>Another transaction held a row for too long; undone.</summary>
    Blocked,

    /// <summary>No space; undone.</summary>
    Full,

    /// <summary>The statement itself was refused; undone.</summary>
    Refused,
}

/// <summary>The one table from what Npgsql throws to what it means here.</summary>
internal static class PostgresFaults
{
    /// <summary>True for what Npgsql throws when the database, the network or a statement fails.</summary>
    public static bool IsFault(Exception fault) => fault is NpgsqlException or SocketException or TimeoutException or EndOfStreamException;

    public static FaultKind KindOf(Exception fault) => fault switch
    {
        PostgresException { SqlState: PostgresErrorCodes.DiskFull } => FaultKind.Full,
        PostgresException { SqlState: PostgresErrorCodes.LockNotAvailable } => FaultKind.Blocked,
        PostgresException { SqlState: PostgresErrorCodes.SerializationFailure or PostgresErrorCodes.DeadlockDetected } => FaultKind.Again,

        // Two claims of one key that could not see each other: at the next look one of them runs.
        PostgresException { SqlState: PostgresErrorCodes.UniqueViolation, ConstraintName: "jobs_key_running" } => FaultKind.Again,
        PostgresException { SqlState: PostgresErrorCodes.ReadOnlySqlTransaction or PostgresErrorCodes.QueryCanceled } => FaultKind.Lost,

        // Connection faults, too few resources, an administrator's shutdown, a crash, a start under way.
        PostgresException { SqlState: ['0', '8', ..] or ['5', '3', ..] or ['5', '7', 'P', ..] or ['2', '5', 'P', '0', '3'] } => FaultKind.Lost,
        PostgresException => FaultKind.Refused,
        _ => FaultKind.Lost,
    };

    /// <summary>The seam's exception. Neither Npgsql's messages nor the server's hold the password.</summary>
    public static StorageException ToStorage(Exception fault) => KindOf(fault) switch
    {
        FaultKind.Full => new StorageFullException($"{fault.Message} (PostgreSQL)", 0, fault),
        FaultKind.Lost => new StorageUnavailableException($"PostgreSQL cannot be reached or did not answer: {Reason(fault)}", fault),
        _ => new StorageException($"{fault.Message} (PostgreSQL)", 0, fault),
    };

    /// <summary>At the start: waiting does not help where the user, the password or the database is wrong.</summary>
    public static bool IsHopeless(Exception fault) =>
        fault is PostgresException { SqlState: ['2', '8', ..] or PostgresErrorCodes.InvalidCatalogName or PostgresErrorCodes.InsufficientPrivilege };

    private static string Reason(Exception fault) => fault.InnerException is { } inner && fault is not PostgresException ? inner.Message : fault.Message;
}
