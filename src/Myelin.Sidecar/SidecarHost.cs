using System.Runtime.InteropServices;
using Myelin.Protocol.Sidecars;
using Myelin.Sidecar.Uds;

namespace Myelin.Sidecar;

/// <summary>
/// Runs models as a sidecar process: listens, loads, serves until SIGTERM or Ctrl-C, drains, leaves.
/// <code>return await SidecarHost.RunAsync(args, new MyModel());</code>
/// </summary>
public static class SidecarHost
{
    /// <summary>Names the address unless <c>--listen</c> does; several are separated by blanks.</summary>
    public const string ListenVariable = "MYELIN_SIDECAR_LISTEN";

    private const int MostThreads = 256;

    private static readonly TimeSpan s_drainTimeout = TimeSpan.FromSeconds(30);

    /// <summary>Serves until told to end.</summary>
    /// <param name="args">The program's arguments; <c>--listen ADDRESS</c> may stand there more than once.</param>
    /// <param name="models">At least one; disposed at the end.</param>
    /// <returns>The exit code: 0 after a clean end, 1 where loading failed, 2 for a wrong address.</returns>
    public static async Task<int> RunAsync(string[] args, params SidecarModel[] models)
    {
        ArgumentOutOfRangeException.ThrowIfZero(models.Length);
        var addresses = new List<SidecarAddress>();
        foreach (var text in Addresses(args))
        {
            if (!SidecarAddress.TryParse(text, out var address))
            {
                await Console.Error.WriteLineAsync($"'{text}' is no address; write unix:/path.sock (at most {SidecarAddress.MaxPathBytes} bytes), http+unix:/path.sock or http://127.0.0.1:9000").ConfigureAwait(false);
                return 2;
            }

            addresses.Add(address);
        }

        if (addresses.Count == 0)
        {
            await Console.Error.WriteLineAsync($"Where to listen? Give --listen unix:/path.sock, or set {ListenVariable}.").ConfigureAwait(false);
            return 2;
        }

        using var end = new CancellationTokenSource();
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => Stop(context, end));
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => Stop(context, end));
        return await ServeAsync(addresses, models, end.Token).ConfigureAwait(false);
    }

    /// <summary>The same inside a process that has its own end, such as a test.</summary>
    internal static async Task<int> ServeAsync(IReadOnlyList<SidecarAddress> addresses, IReadOnlyList<SidecarModel> models, CancellationToken end)
    {
        // A model may compute, or sleep, on the pool's threads: as many as there are calls at once must be there without waiting.
        ThreadPool.GetMinThreads(out var threads, out var others);
        ThreadPool.SetMinThreads(Math.Max(threads, Math.Min(models.Sum(model => model.Concurrency), MostThreads) + Environment.ProcessorCount), others);
        var served = models.Select(model => new ServedModel(model)).ToList();
        var listeners = addresses.Select(Listen).ToList();
        try
        {
            foreach (var listener in listeners)
            {
                await listener.StartAsync(end).ConfigureAwait(false);
            }

            var context = SidecarContext.FromEnvironment();
            foreach (var model in models)
            {
                await model.LoadAsync(context, end).ConfigureAwait(false);
            }

            listeners.ForEach(listener => listener.Ready(served));
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, end).ContinueWith(static _ => { }, TaskScheduler.Default).ConfigureAwait(false);
            using var patience = new CancellationTokenSource(s_drainTimeout, TimeProvider.System);
            await Task.WhenAll(listeners.Select(listener => listener.DrainAsync(patience.Token).AsTask())).ConfigureAwait(false);
            return 0;
        }
        catch (OperationCanceledException)
        {
            return 0; // told to end while loading, or a call outlived the drain
        }
        catch (Exception fault)
        {
            await Console.Error.WriteLineAsync(fault.ToString()).ConfigureAwait(false);
            foreach (var listener in listeners)
            {
                await listener.FailAsync(fault.Message, CancellationToken.None).ConfigureAwait(false);
            }

            return 1;
        }
        finally
        {
            foreach (var listener in listeners)
            {
                await listener.DisposeAsync().ConfigureAwait(false);
            }

            foreach (var model in served)
            {
                await model.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    private static ISidecarListener Listen(SidecarAddress address) => address.Transport switch
    {
        SidecarTransport.Uds => new UdsListener(address.Path!, new UdsListenerOptions()),
        _ => new Http.HttpListener(address, new Http.HttpListenerOptions()),
    };

    private static IEnumerable<string> Addresses(string[] args)
    {
        var given = args.Zip(args.Skip(1)).Where(pair => pair.First == "--listen").Select(pair => pair.Second).ToList();
        return given.Count > 0 ? given : (Environment.GetEnvironmentVariable(ListenVariable) ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries);
    }

    private static void Stop(PosixSignalContext context, CancellationTokenSource end)
    {
        if (!end.IsCancellationRequested)
        {
            context.Cancel = true; // the second one ends at once
            end.Cancel();
        }
    }
}
