using System.Diagnostics;
using Myelin.Hosting.Configuration;
using OpenTelemetry.Exporter;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Myelin.Hosting.Telemetry;

/// <summary>
/// Sends traces by OTLP while an endpoint is set; otherwise nothing is built, recorded or sent. Port 4317 or a
/// <c>grpc://</c> address speaks gRPC, everything else HTTP with protobuf, <c>/v1/traces</c> added where no path is given.
/// What is buffered at the end goes out with the host.
/// </summary>
internal static class TraceExport
{
    /// <summary>Of the server's spans: gateway, worker and what lies between carry one trace.</summary>
    private const string SourceName = "Myelin";

    public static IServiceCollection AddTraceExport(this IServiceCollection services, TelemetryOptions options)
    {
        if (options.OtlpEndpoint is not { Length: > 0 } address)
        {
            return services;
        }

        var (endpoint, protocol) = Resolve(address);
        services.AddOpenTelemetry()
            .ConfigureResource(resource => resource.AddService("myelin", serviceVersion: typeof(TraceExport).Assembly.GetName().Version?.ToString(3)))
            .WithTracing(traces => traces
                .AddSource(SourceName)
                .AddAspNetCoreInstrumentation()

                // Calls to workers and blobs within a request or a job; what loops do by themselves would be traces of one span.
                .AddHttpClientInstrumentation(http => http.FilterHttpRequestMessage = static _ => Activity.Current?.Parent is not null)
                .AddOtlpExporter(otlp => (otlp.Endpoint, otlp.Protocol) = (endpoint, protocol)));
        return services;
    }

    internal static (Uri Endpoint, OtlpExportProtocol Protocol) Resolve(string endpoint)
    {
        var uri = new Uri(endpoint);
        if (uri.Scheme == "grpc" || uri.Port == 4317)
        {
            return (new UriBuilder(uri) { Scheme = uri.Scheme == "grpc" ? "http" : uri.Scheme }.Uri, OtlpExportProtocol.Grpc);
        }

        return (uri.AbsolutePath is "" or "/" ? new Uri(uri, "/v1/traces") : uri, OtlpExportProtocol.HttpProtobuf);
    }
}
