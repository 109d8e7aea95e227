using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Myelin.Server;

/// <summary>
/// SIGTERM and SIGINT, heard by one handler from the first moment on: the host itself listens only once it runs, and the
/// wait for a database comes before. The first of them stops in order; an interrupt after it does not wait for running
/// work. A second SIGTERM changes nothing: supervisors repeat it.
/// </summary>
internal sealed class StopSignals : IDisposable
{
    private readonly IHostApplicationLifetime _lifetime;
    private readonly PosixSignalRegistration _terminate;
    private readonly PosixSignalRegistration _interrupt;
    private int _heard;

    public StopSignals(IHostApplicationLifetime lifetime)
    {
        _lifetime = lifetime;
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Receive);
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Receive);
    }

    public void Dispose()
    {
        _terminate.Dispose();
        _interrupt.Dispose();
    }

    private void Receive(PosixSignalContext context)
    {
        context.Cancel = true;

        // Counted here, not read off the lifetime: the host's own handler hears the same signal, and may hear it first.
        if (Interlocked.Increment(ref _heard) == 1)
        {
            Console.Error.WriteLine("stopping: what runs is finished first; Ctrl-C ends at once");
            _lifetime.StopApplication();
        }
        else if (context.Signal == PosixSignal.SIGINT)
        {
            Console.Error.WriteLine("stopped at once; jobs that ran go back to the queue at the next start");
            Process.GetCurrentProcess().Kill();
        }
    }
}
