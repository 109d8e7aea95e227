using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace Myelin.Hosting.Telemetry;

/// <summary>
/// The names that every Prometheus client library gives a process, so that common dashboards work. What Linux alone
/// knows (open files) is left out elsewhere.
/// </summary>
internal static class ProcessMetrics
{
    public static void Write(StringBuilder text)
    {
        using var process = Process.GetCurrentProcess();
        Metric(text, "process_cpu_seconds_total", "Total user and system CPU time in seconds.", MetricKind.Counter, process.TotalProcessorTime.TotalSeconds);
        Metric(text, "process_resident_memory_bytes", "Resident memory size in bytes.", MetricKind.Gauge, process.WorkingSet64);
        Metric(text, "process_virtual_memory_bytes", "Virtual memory size in bytes.", MetricKind.Gauge, process.VirtualMemorySize64);
        Metric(text, "process_start_time_seconds", "Start of the process in seconds since 1970.", MetricKind.Gauge, new DateTimeOffset(process.StartTime).ToUnixTimeMilliseconds() / 1000d);
        Metric(text, "process_threads", "Threads of the process.", MetricKind.Gauge, process.Threads.Count);
        if (OperatingSystem.IsLinux())
        {
            Metric(text, "process_open_fds", "Open file descriptors.", MetricKind.Gauge, Directory.EnumerateFileSystemEntries("/proc/self/fd").Count());
            if (MaxOpenFiles() is { } limit)
            {
                Metric(text, "process_max_fds", "Most open file descriptors allowed.", MetricKind.Gauge, limit);
            }
        }
    }

    private static double? MaxOpenFiles()
    {
        var line = File.ReadLines("/proc/self/limits").FirstOrDefault(l => l.StartsWith("Max open files", StringComparison.Ordinal));
        var soft = line?["Max open files".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0];
        return double.TryParse(soft, CultureInfo.InvariantCulture, out var limit) ? limit : null;
    }

    private static void Metric(StringBuilder text, string name, string help, MetricKind kind, double value)
    {
        MetricsPage.Head(text, name, help, kind);
        MetricsPage.Line(text, name, "", value);
    }
}
