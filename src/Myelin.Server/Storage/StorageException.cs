namespace Myelin.Server.Storage;

/// <summary>The database could not do what was asked; nothing of the operation was stored.</summary>
/// <param name="message">SQLite's own words and the statement's purpose.</param>
/// <param name="code">The engine's result code, for the log.</param>
internal class StorageException(string message, int code) : IOException(message)
{
    private const int FullDisk = 13;

    public int Code { get; } = code;

    /// <summary>True where the connection cannot be trusted any more; a full disk leaves it sound.</summary>
    public bool IsDamage => (Code & 0xff) != FullDisk;
}

/// <summary>No space left, or the disk refuses to write. Nothing was stored; a later try works once there is space.</summary>
internal sealed class StorageFullException(string message, int code) : StorageException(message, code);
