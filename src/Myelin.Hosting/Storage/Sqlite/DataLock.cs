using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Storage.Sqlite;

/// <summary>
/// The hold of one process on a data folder, by a locked file: the kernel lets go of it however the process ends. With
/// it, every lease found in the database at start is an old one of our own.
/// </summary>
internal sealed class DataLock : IDisposable
{
    private readonly FileStream _file;

    private DataLock(FileStream file) => _file = file;

    /// <exception cref="IOException">Another process holds the folder.</exception>
    public static DataLock Take(string folder)
    {
        var path = Path.Combine(folder, "lock");
        try
        {
            return new DataLock(new FileStream(path, DataFolder.Private(new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.None })));
        }
        catch (IOException e)
        {
            throw new IOException($"The data folder {folder} is used by another process. Stop it, or give this one another folder (--data).", e);
        }
    }

    public void Dispose() => _file.Dispose();
}
