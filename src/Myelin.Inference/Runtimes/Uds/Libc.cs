using System.Runtime.InteropServices;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>The few calls of Linux that .NET has no form of: memory that two processes map, file locks, writes that never wait.</summary>
internal static partial class Libc
{
    public const int ReadWrite = 0x2;
    public const int Create = 0x40;
    public const int Exclusive = 0x80;
    public const int CloseOnExec = 0x80000;
    public const int OwnerOnly = 0x180; // 0600

    public const int LockExclusive = 2;
    public const int LockWithoutWaiting = 4;

    public const int ProtectReadWrite = 0x3;
    public const int MapShared = 0x1;
    public const int MapPopulate = 0x8000;

    public const int DontWait = 0x40;
    public const int NoSignal = 0x4000;
    public const short PollIn = 0x1;
    public const short PollOut = 0x4;

    public const int Interrupted = 4; // EINTR
    public const int TryAgain = 11; // EAGAIN
    public const int FileExists = 17; // EEXIST

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Open(string path, int flags, int mode);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    public static partial int Close(int file);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    public static partial int Lock(int file, int operation);

    [LibraryImport("libc", EntryPoint = "fchown", SetLastError = true)]
    public static partial int Own(int file, uint user, uint group);

    /// <summary>Returns the error number itself.</summary>
    [LibraryImport("libc", EntryPoint = "posix_fallocate")]
    public static partial int Allocate(int file, long offset, long length);

    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    public static partial long Seek(int file, long offset, int whence);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    public static partial nint Map(nint address, nint length, int protection, int flags, int file, long offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    public static partial int Unmap(nint address, nint length);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    public static unsafe partial nint Send(SafeHandle socket, byte* buffer, nint length, int flags);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    public static unsafe partial nint Receive(SafeHandle socket, byte* buffer, nint length, int flags);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    public static unsafe partial int Poll(PollEntry* entries, nuint count, int milliseconds);

    [StructLayout(LayoutKind.Sequential)]
    public struct PollEntry
    {
        public int File;
        public short Events;
        public short Seen;
    }
}
