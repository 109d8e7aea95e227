using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>
/// The ring's files of one folder. A file is held by its worker's lock from creation until it is unlinked, a moment
/// later; one whose lock is free was left by a worker that died in between.
/// </summary>
internal static class RingFiles
{
    private const string Prefix = "myelin-ring-";

    /// <summary>
    /// Makes a ring; where the folder has no room (a container's /dev/shm has 64 MiB), one of half the size, and again.
    /// </summary>
    /// <param name="owner">Whose the file is to be; null for this process's user.</param>
    /// <param name="error">Why it is smaller than wanted or not there; empty where all is well.</param>
    public static bool TryCreate(string folder, long inputs, long outputs, (uint User, uint Group)? owner, [NotNullWhen(true)] out SharedRing? ring, out string error)
    {
        Sweep(folder);
        ring = null;
        error = "";
        for (var halvings = 0; halvings < 4; halvings++)
        {
            var path = Path.Combine(folder, $"{Prefix}{Environment.ProcessId}-{RandomNumberGenerator.GetHexString(16, lowercase: true)}");
            if (SharedRing.TryCreate(path, inputs >> halvings, outputs >> halvings, owner, out ring, out var fault))
            {
                return true;
            }

            error = fault;
        }

        return false;
    }

    /// <summary>Removes files that no living worker holds.</summary>
    /// <returns>How many.</returns>
    public static int Sweep(string folder)
    {
        var removed = 0;
        try
        {
            foreach (var path in Directory.EnumerateFiles(folder, Prefix + "*"))
            {
                removed += TryRemove(path) ? 1 : 0;
            }
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            // Creating a file there will say what is wrong with the folder.
        }

        return removed;
    }

    private static bool TryRemove(string path)
    {
        var file = Libc.Open(path, Libc.ReadWrite | Libc.CloseOnExec, 0);
        if (file < 0)
        {
            return false; // gone meanwhile, or another user's
        }

        try
        {
            if (Libc.Lock(file, Libc.LockExclusive | Libc.LockWithoutWaiting) != 0)
            {
                return false;
            }

            File.Delete(path);
            return true;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return false;
        }
        finally
        {
            _ = Libc.Close(file);
        }
    }
}
