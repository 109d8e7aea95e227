using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Sidecars.Processes;

namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>
/// All sidecars of this worker. Made once; <see cref="Initialise"/> clears away what a dead worker left; disposing ends
/// every process that was started here.
/// </summary>
public sealed partial class SidecarSupervisor(SidecarOptions options, TimeProvider time, ILoggerFactory loggers) : IAsyncDisposable
{
    private readonly ILogger _log = loggers.CreateLogger<SidecarSupervisor>();
    private readonly ConcurrentDictionary<SidecarPool, bool> _pools = [];
    private readonly ConcurrentDictionary<string, SidecarTotals> _past = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();
    private SidecarHouse? _house;
    private bool _disposed;

    /// <summary>Ends the sidecars of workers that died, and removes what they left. Does nothing where there never was a sidecar.</summary>
    public void Initialise()
    {
        if (Directory.Exists(options.RunFolder))
        {
            _ = House();
        }
    }

    /// <summary>Starts a model's sidecars, or connects to them, and waits until they are ready.</summary>
    /// <param name="definition">Has a sidecar.</param>
    /// <param name="files">The networks that its task asks for.</param>
    /// <param name="cancellationToken">Ends the wait and what was started.</param>
    /// <exception cref="ModelException">None got ready; says why, with the last lines of the log. Transient where the machine had no room, or others run it.</exception>
    public async Task<IRuntimeSource> OpenAsync(ModelDefinition definition, IReadOnlyList<string> files, CancellationToken cancellationToken)
    {
        var sidecar = definition.Sidecar ?? throw new ArgumentException("the model has no sidecar", nameof(definition));
        if (sidecar.Addresses.Count == 0 && !options.Start)
        {
            throw new ModelException([new ModelError("model.yaml", "sidecar.command", "is not started: sidecars.start is off on this server; name the address of one that runs")]);
        }

        var networks = files.Select(file => SidecarNetwork.Of(definition, file, files.Count)).ToList();
        var pool = new SidecarPool(definition, networks, sidecar.Addresses.Count == 0 ? House() : null, options, time, loggers.CreateLogger("Myelin.Sidecar"));
        _pools[pool] = true;
        try
        {
            await pool.StartAsync(cancellationToken).ConfigureAwait(false);
            return new SidecarSource(pool, Forget);
        }
        catch (Exception fault)
        {
            var errors = pool.Errors();
            await pool.DisposeAsync().ConfigureAwait(false);
            Forget(pool);
            if (fault is RuntimeException unavailable)
            {
                throw new ModelException(errors.Count > 0 ? errors : [new ModelError("model.yaml", "sidecar", fault.Message)]) { Transient = unavailable.Retryable };
            }

            throw;
        }
    }

    /// <summary>The sidecars of every model; a model that is being replaced stands there twice, the newer first.</summary>
    public IReadOnlyList<SidecarStatus> List() => [.. _pools.Keys.Select(pool => pool.Status()).OrderBy(s => s.Model, StringComparer.Ordinal).ThenBy(s => s.State == SidecarState.Stopping)];

    /// <summary>The sidecars of one revision; null where none are started.</summary>
    public SidecarStatus? Find(ModelDefinition definition) => _pools.Keys.FirstOrDefault(pool => ReferenceEquals(pool.Definition, definition))?.Status();

    /// <summary>Sums by model, also over versions that have been replaced.</summary>
    public IReadOnlyList<SidecarTotals> Totals()
    {
        var totals = _past.ToDictionary(p => p.Key, p => p.Value);
        foreach (var status in List())
        {
            var ready = status.Endpoints.Count(e => e.State == SidecarState.Ready);
            var now = new SidecarTotals(status.Model, status.Transport, ready, status.State == SidecarState.Stopping ? 0 : status.Endpoints.Count, status.Counters);
            totals[status.Model] = totals.TryGetValue(status.Model, out var sum)
                ? now with { Ready = sum.Ready + now.Ready, Wanted = sum.Wanted + now.Wanted, Counters = sum.Counters + now.Counters }
                : now;
        }

        return [.. totals.Values];
    }

    public async ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
        }

        await Task.WhenAll(_pools.Keys.Select(pool => pool.DisposeAsync().AsTask())).ConfigureAwait(false);
        _house?.Dispose();
    }

    private void Forget(SidecarPool pool)
    {
        if (_pools.TryRemove(pool, out _))
        {
            var status = pool.Status();
            var counters = status.Counters with { RingBytes = 0, RingUsed = 0 };
            _past.AddOrUpdate(
                status.Model,
                _ => new SidecarTotals(status.Model, status.Transport, 0, 0, counters),
                (_, sum) => sum with { Counters = sum.Counters + counters });
        }
    }

    private SidecarHouse House()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_house is null)
            {
                var (run, ended) = RunFolder.Open(options.RunFolder);
                Cgroup.Sweep();
                if (ended.Count > 0)
                {
                    LogOrphans(ended.Count, string.Join(", ", ended));
                }

                _house = new SidecarHouse(options, time, run);
            }

            return _house;
        }
    }

    [LoggerMessage(LogLevel.Warning, "ended {Count} sidecars that a dead worker left: {Pids}")]
    private partial void LogOrphans(int count, string pids);
}
