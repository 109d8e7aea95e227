using Microsoft.Extensions.Logging.Console;
using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Telemetry;

internal static class LoggingSetup
{
    /// <summary>One line a message on standard output: text for a person, JSON for a collector. Times are UTC.</summary>
    public static ILoggingBuilder AddMyelinLogging(this ILoggingBuilder logging, TelemetryOptions options)
    {
        logging.ClearProviders();
        logging.SetMinimumLevel(Enum.Parse<LogLevel>(options.LogLevel, ignoreCase: true));

        // The framework's own Information is per request; its warnings matter.
        logging.AddFilter("Microsoft", LogLevel.Warning);
        logging.AddFilter("System", LogLevel.Warning);
        return options.LogFormat == "json"
            ? logging.AddJsonConsole(o => Format(o, "yyyy-MM-dd'T'HH:mm:ss.fff'Z'"))
            : logging.AddSimpleConsole(o =>
            {
                Format(o, "HH:mm:ss.fff ");
                o.SingleLine = true;
            });
    }

    private static void Format(ConsoleFormatterOptions options, string timestamp)
    {
        options.UseUtcTimestamp = true;
        options.TimestampFormat = timestamp;
        options.IncludeScopes = true;
    }
}
