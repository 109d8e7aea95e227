using System.Collections.Concurrent;
using Myelin.Server.Configuration;

namespace Myelin.Server.Telemetry;

/// <summary>
/// Whether this process should get work. Each capability that can stand in the way names its reason here and takes it
/// away when it is over; starting, draining and a full disk are known without them.
/// </summary>
internal sealed class Readiness(IHostApplicationLifetime lifetime, MyelinOptions options)
{
    private readonly ConcurrentDictionary<string, string> _reasons = new(StringComparer.Ordinal);

    /// <summary>Sets (a sentence) or clears (null) the reason of one capability.</summary>
    public void Report(string capability, string? reason)
    {
        if (reason is null)
        {
            _reasons.TryRemove(capability, out _);
        }
        else
        {
            _reasons[capability] = reason;
        }
    }

    public Health Check()
    {
        var reasons = _reasons.OrderBy(r => r.Key, StringComparer.Ordinal).Select(r => $"{r.Key}: {r.Value}").ToList();
        if (!lifetime.ApplicationStarted.IsCancellationRequested)
        {
            reasons.Add("starting");
        }

        if (lifetime.ApplicationStopping.IsCancellationRequested)
        {
            reasons.Add("shutting down");
        }

        if (FreeBytes() is { } free && free < options.Jobs.MinimumFreeBytes)
        {
            reasons.Add($"disk: {free} bytes are free in {options.Data}, {options.Jobs.MinimumFreeBytes} are needed");
        }

        return new Health(reasons.Count == 0 ? "ready" : "unready", reasons);
    }

    private long? FreeBytes()
    {
        try
        {
            return new DriveInfo(Path.GetFullPath(options.Data)).AvailableFreeSpace;
        }
        catch (IOException)
        {
            return null; // the folder is not there yet; opening the database tells more than this check could
        }
    }
}
