using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>
/// A mapping of the file that worker and sidecar share. Counted: the connection holds it, and every tensor that still
/// lies in it does, so that memory is never unmapped under a reader. Safe for concurrent use.
/// </summary>
internal sealed class SharedRing
{
    private nint _address;
    private int _file;
    private int _references = 1;

    private SharedRing(nint address, int file, RingLayout layout)
    {
        (_address, _file, Layout) = (address, file, layout);
    }

    public RingLayout Layout { get; }

    /// <summary>
    /// Makes, locks, reserves and maps a new file. Reserving all of it is what turns a full /dev/shm into an error here
    /// instead of a SIGBUS at some later write.
    /// </summary>
    /// <param name="path">No file may be there.</param>
    /// <param name="inputs">Bytes of the worker's part.</param>
    /// <param name="outputs">Bytes of the sidecar's part.</param>
    /// <param name="owner">Whose it is to be; null for this process's user.</param>
    /// <param name="ring">Not null where the answer is true.</param>
    /// <param name="error">Why not, for a person.</param>
    public static bool TryCreate(string path, long inputs, long outputs, (uint User, uint Group)? owner, [NotNullWhen(true)] out SharedRing? ring, out string error)
    {
        ring = null;
        (inputs, outputs) = (SidecarLimits.Align(inputs), SidecarLimits.Align(outputs));
        var file = Libc.Open(path, Libc.ReadWrite | Libc.Create | Libc.Exclusive | Libc.CloseOnExec, Libc.OwnerOnly);
        if (file < 0)
        {
            error = Error("make", path, Marshal.GetLastPInvokeError());
            return false;
        }

        var fault = Libc.Lock(file, Libc.LockExclusive | Libc.LockWithoutWaiting) == 0 ? 0 : Marshal.GetLastPInvokeError();
        var step = "lock";
        if (fault == 0)
        {
            // Between the two calls above a sweep may have taken it for an orphan.
            (step, fault) = File.Exists(path) ? ("reserve", Libc.Allocate(file, 0, inputs + outputs)) : ("keep", Libc.TryAgain);
        }

        if (fault == 0 && owner is var (user, group) && Libc.Own(file, user, group) != 0)
        {
            (step, fault) = ("give away", Marshal.GetLastPInvokeError());
        }

        var address = fault == 0 ? Map(file, inputs + outputs) : -1;
        if (address == -1)
        {
            error = Error(fault == 0 ? "map" : step, path, fault == 0 ? Marshal.GetLastPInvokeError() : fault);
            File.Delete(path);
            _ = Libc.Close(file);
            return false;
        }

        error = "";
        ring = new SharedRing(address, file, new RingLayout(path, inputs + outputs, new RingPart(0, inputs), new RingPart(inputs, outputs)));
        return true;
    }

    /// <summary>Maps a file that a worker has made, if it is as large as the worker says: a page beyond the end would be a SIGBUS.</summary>
    public static bool TryOpen(RingLayout layout, [NotNullWhen(true)] out SharedRing? ring, out string error)
    {
        ring = null;
        var file = Libc.Open(layout.Path, Libc.ReadWrite | Libc.CloseOnExec, 0);
        if (file < 0)
        {
            error = Error("open", layout.Path, Marshal.GetLastPInvokeError());
            return false;
        }

        var size = Libc.Seek(file, 0, 2);
        var address = size >= layout.Bytes ? Map(file, layout.Bytes) : -1;
        error = size >= layout.Bytes ? Error("map", layout.Path, Marshal.GetLastPInvokeError()) : $"'{layout.Path}' has {size} bytes, not {layout.Bytes}";
        _ = Libc.Close(file);
        if (address == -1)
        {
            return false;
        }

        ring = new SharedRing(address, -1, layout);
        return true;
    }

    /// <summary>Takes the name away: from here on only the mappings hold the memory, whoever dies.</summary>
    public void Unlink()
    {
        if (Interlocked.Exchange(ref _file, -1) is var file and >= 0)
        {
            File.Delete(Layout.Path);
            _ = Libc.Close(file);
        }
    }

    /// <summary>The address of a place that was checked to lie in the file.</summary>
    public nint At(long offset) => _address + (nint)offset;

    /// <returns>False where the last one has been given back: the memory is gone.</returns>
    public bool TryAddReference()
    {
        var there = Volatile.Read(ref _references);
        while (there > 0)
        {
            var before = Interlocked.CompareExchange(ref _references, there + 1, there);
            if (before == there)
            {
                return true;
            }

            there = before;
        }

        return false;
    }

    public void Release()
    {
        if (Interlocked.Decrement(ref _references) == 0)
        {
            Unlink();
            _ = Libc.Unmap(_address, (nint)Layout.Bytes);
            _address = 0;
        }
    }

    private static nint Map(int file, long bytes) =>
        Libc.Map(0, (nint)bytes, Libc.ProtectReadWrite, Libc.MapShared | Libc.MapPopulate, file, 0);

    private static string Error(string step, string path, int number) =>
        $"could not {step} '{path}': {Marshal.GetPInvokeErrorMessage(number)}";
}
