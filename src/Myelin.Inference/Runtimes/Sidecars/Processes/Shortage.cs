using System.ComponentModel;
using System.Net.Sockets;

namespace Myelin.Inference.Runtimes.Sidecars.Processes;

/// <summary>Faults that pass when the machine has room again: disk, memory, processes, handles.</summary>
internal static class Shortage
{
    public static bool Is(Exception fault) => fault switch
    {
        SocketException socket => socket.SocketErrorCode is SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable,
        Win32Exception system => IsNumber(system.NativeErrorCode),
        IOException file => IsNumber(file.HResult),
        _ => false,
    };

    private static bool IsNumber(int error) => error is 11 or 12 or 23 or 24 or 28 or 122; // EAGAIN ENOMEM ENFILE EMFILE ENOSPC EDQUOT
}
