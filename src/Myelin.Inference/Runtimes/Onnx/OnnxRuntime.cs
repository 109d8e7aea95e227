using System.Diagnostics;
using System.Threading.Channels;
using Microsoft.ML.OnnxRuntime;

namespace Myelin.Inference.Runtimes.Onnx;

/// <summary>
/// A network executed in this process. Owner: the task that loaded it. Each of <see cref="OnnxOptions.Instances"/>
/// is a thread of its own, so a long inference never holds a thread of the pool that serves requests; calls wait in
/// one bounded queue, first come first served. Disposing refuses new calls, interrupts nothing, waits for the running.
/// </summary>
public sealed class OnnxRuntime : IRuntime
{
    private readonly OnnxSession _session;
    private readonly Channel<OnnxCall> _queue;
    private readonly Task[] _instances;
    private readonly RuntimeCounter _counter = new();
    private int _disposed;

    private OnnxRuntime(OnnxSession session, OnnxOptions options)
    {
        _session = session;
        Capabilities = new RuntimeCapabilities("native", options.Instances, Progress: false, Cancel: true);
        _queue = Channel.CreateBounded<OnnxCall>(new BoundedChannelOptions(options.MaxWaiting) { FullMode = BoundedChannelFullMode.Wait });
        _instances = [.. Enumerable.Range(0, options.Instances).Select(Start)];
    }

    public IReadOnlyList<TensorSpec> Inputs => _session.Inputs;

    public IReadOnlyList<TensorSpec> Outputs => _session.Outputs;

    public RuntimeCapabilities Capabilities { get; }

    public RuntimeStatistics Statistics => _counter.Statistics;

    /// <summary>Loads a network by path, so that weights stored beside the file are found and mapped, not read.</summary>
    /// <exception cref="RuntimeException">The file is not a network this build can run; the message says why. Never worth a repeat.</exception>
    public static OnnxRuntime Load(string path, OnnxOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Instances, 1);
        OnnxEnvironment.Initialise();
        return new OnnxRuntime(OnnxSession.Load(path, options), options);
    }

    public async ValueTask<TensorSet> InferAsync(IReadOnlyList<Tensor> inputs, IProgress<RuntimeProgress>? progress, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        _session.Check(inputs);
        _counter.Begin();
        try
        {
            var call = new OnnxCall(inputs, cancellationToken);
            await _queue.Writer.WriteAsync(call, cancellationToken).ConfigureAwait(false);

            // Ends a call that waits. One that runs is interrupted by the session, and there is no earlier way out: the
            // inputs are pinned, and the caller may reuse them once this returns.
            using var abandon = cancellationToken.UnsafeRegister(static state => ((OnnxCall)state!).Abandon(), call);
            var outputs = await call.Task.ConfigureAwait(false);
            _counter.Succeeded(call.Compute);
            return outputs;
        }
        catch (Exception fault)
        {
            _counter.Ended(fault, cancellationToken);
            ObjectDisposedException.ThrowIf(fault is ChannelClosedException, this);
            throw;
        }
    }

    public async ValueTask DrainAsync(CancellationToken cancellationToken) =>
        await _counter.DrainAsync().WaitAsync(cancellationToken).ConfigureAwait(false);

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        _queue.Writer.Complete();
        await Task.WhenAll(_instances).ConfigureAwait(false);
        _session.Dispose();
    }

    private Task Start(int index)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() => Serve(ended)) { IsBackground = true, Name = $"onnx {_session.Name} {index}" };
        thread.Start();
        return ended.Task;
    }

    private void Serve(TaskCompletionSource ended)
    {
        using var options = new RunOptions();
        var reader = _queue.Reader;
        while (Next(reader) is { } call)
        {
            if (!call.TryBegin())
            {
                continue;
            }

            try
            {
                var start = Stopwatch.GetTimestamp();
                var outputs = _session.Run(call.Inputs, options, call.CancellationToken);
                call.Compute = Stopwatch.GetElapsedTime(start);
                call.TrySetResult(outputs);
            }
            catch (OperationCanceledException) when (call.CancellationToken.IsCancellationRequested)
            {
                call.TrySetCanceled(call.CancellationToken);
            }
            catch (Exception fault)
            {
                call.TrySetException(fault); // the caller's; the instance goes on with the next call
            }
        }

        ended.TrySetResult();
    }

    private static OnnxCall? Next(ChannelReader<OnnxCall> reader)
    {
        if (reader.TryRead(out var ready))
        {
            return ready;
        }

        var wait = reader.WaitToReadAsync().AsTask();
        while (wait.GetAwaiter().GetResult())
        {
            if (reader.TryRead(out var call))
            {
                return call;
            }

            wait = reader.WaitToReadAsync().AsTask();
        }

        return null;
    }
}
