namespace Myelin.Hosting.Storage;

/// <summary>The database could not do what was asked; nothing of the operation was stored, unless a subclass says otherwise.</summary>
/// <param name="message">The engine's own words and the statement's purpose.</param>
/// <param name="code">SQLite's result code, 0 for others.</param>
/// <param name="inner">What the engine's client threw.</param>
internal class StorageException(string message, int code, Exception? inner = null) : IOException(message, inner)
{
    private const int FullDisk = 13;

    public int Code { get; } = code;

    /// <summary>True where the connection cannot be trusted any more; a full disk leaves it sound.</summary>
    public bool IsDamage => (Code & 0xff) != FullDisk;
}

/// <summary>The storage of this process is closed, or its writer broke, before the operation began; nothing was stored.</summary>
internal sealed class StorageClosedException(Exception? inner = null) : StorageException("the storage is closed; nothing was stored", 0, inner);

/// <summary>No space left, or the disk refuses to write. Nothing was stored; a later try works once there is space.</summary>
internal sealed class StorageFullException(string message, int code, Exception? inner = null) : StorageException(message, code, inner);

/// <summary>
/// The database cannot be reached, or went away before it answered: whether the operation was stored is unknown. A later
/// try works once it is back.
/// </summary>
internal sealed class StorageUnavailableException(string message, Exception? inner = null) : StorageException(message, 0, inner);
