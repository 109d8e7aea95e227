using System.Collections.Concurrent;
using Myelin.Inference.Runtimes.Http;

namespace Myelin.Inference.Runtimes.Sidecars.Connections;

/// <summary>
/// A server of the Open Inference Protocol. HTTP has no connection that could end, so whether it lives is asked every
/// few seconds, and at once when a call has failed.
/// </summary>
internal sealed class HttpServer : ISidecarConnection
{
    private readonly HttpOptions _options;
    private readonly SidecarOptions _supervision;
    private readonly TimeProvider _time;
    private readonly ConcurrentDictionary<string, HttpRuntime> _runtimes = new(StringComparer.Ordinal);
    private readonly TaskCompletionSource<ConnectionLoss> _lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _end = new();
    private Task _health = Task.CompletedTask;
    private int _disposed;

    private HttpServer(HttpOptions options, SidecarOptions supervision, TimeProvider time) => (_options, _supervision, _time) = (options, supervision, time);

    public string? Product => _runtimes.Values.FirstOrDefault()?.Product;

    public bool IsDraining => false;

    public Task<ConnectionLoss> Lost => _lost.Task;

    public (long Reserved, long Used) Ring => default;

    public string Problem => "";

    public static async Task<HttpServer> ConnectAsync(
        HttpOptions options, IReadOnlyList<SidecarNetwork> networks, SidecarOptions supervision, TimeProvider time, CancellationToken cancellationToken)
    {
        var connection = new HttpServer(options, supervision, time);
        try
        {
            foreach (var network in networks)
            {
                await connection.OpenAsync(network, cancellationToken).ConfigureAwait(false);
            }

            connection._health = connection.WatchAsync();
            return connection;
        }
        catch
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    public async ValueTask<IRuntime> OpenAsync(SidecarNetwork network, CancellationToken cancellationToken)
    {
        if (_runtimes.TryGetValue(network.File, out var open))
        {
            return open;
        }

        // Null: the only one it has. For one of several networks that is meant only where the sidecar does the whole task.
        string?[] names = [.. network.Names, null];
        RuntimeException? last = null;
        foreach (var name in names)
        {
            try
            {
                var runtime = await HttpRuntime.ConnectAsync(_options with { Model = name }, cancellationToken).ConfigureAwait(false);
                if ((name is not null || network.Only || runtime.Capabilities.Task is not null) && _runtimes.TryAdd(network.File, runtime))
                {
                    return runtime;
                }

                await runtime.DisposeAsync().ConfigureAwait(false);
                return _runtimes.GetValueOrDefault(network.File) ?? throw last ?? network.NotServed(["one network of another name"]);
            }
            catch (RuntimeException fault) when (!fault.Retryable)
            {
                last = last is null || name is null ? fault : last; // no network of this name: another may be meant
            }
        }

        throw last!;
    }

    public string? VersionOf(SidecarNetwork network) => null;

    public async ValueTask<bool> SuspectAsync(CancellationToken cancellationToken)
    {
        if (!_lost.Task.IsCompleted && !await LiveAsync(cancellationToken).ConfigureAwait(false))
        {
            _lost.TrySetResult(new ConnectionLoss($"{_options.Address} does not answer"));
        }

        return _lost.Task.IsCompleted;
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        await _end.CancelAsync().ConfigureAwait(false);
        await _health.ConfigureAwait(false);
        foreach (var runtime in _runtimes.Values)
        {
            await runtime.DisposeAsync().ConfigureAwait(false);
        }

        _lost.TrySetResult(new ConnectionLoss("the connection was closed", Orderly: true));
        _end.Dispose();
    }

    private async Task WatchAsync()
    {
        var answered = _time.GetTimestamp();
        try
        {
            while (!_lost.Task.IsCompleted)
            {
                await Task.Delay(_supervision.HealthInterval, _time, _end.Token).ConfigureAwait(false);
                if (await LiveAsync(_end.Token).ConfigureAwait(false))
                {
                    answered = _time.GetTimestamp();
                }
                else if (_time.GetElapsedTime(answered) > _supervision.HealthTimeout)
                {
                    _lost.TrySetResult(new ConnectionLoss($"{_options.Address} has not answered for {_supervision.HealthTimeout.TotalSeconds:0.#} s", Hung: true));
                }
            }
        }
        catch (OperationCanceledException) when (_end.IsCancellationRequested)
        {
            // Disposed.
        }
        catch (Exception fault)
        {
            _lost.TrySetResult(new ConnectionLoss($"watching {_options.Address} failed: {fault.Message}")); // the endpoint connects anew
        }
    }

    private ValueTask<bool> LiveAsync(CancellationToken cancellationToken) =>
        _runtimes.Values.FirstOrDefault() is { } runtime ? runtime.LiveAsync(cancellationToken) : ValueTask.FromResult(true);
}
