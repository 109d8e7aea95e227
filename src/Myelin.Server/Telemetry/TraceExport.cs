using Myelin.Server.Configuration;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Myelin.Server.Telemetry;

/// <summary>
/// Sends traces by OTLP while an endpoint is set; otherwise nothing is built, recorded or sent. Port 4317 or a
/// <c>grpc://</c> address speaks gRPC, everything else HTTP with protobuf, <c>/v1/traces</c> added where no path is given.
/// </summary>
internal sealed class TraceExport(MyelinOptions options) : IHostedService, IDisposable
{
    /// <summary>Of the server's spans: gateway, worker and what lies between carry one trace.</summary>
    private const string SourceName = "Myelin";

    private TracerProvider? _provider;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (options.Telemetry.OtlpEndpoint is { Length: > 0 } endpoint)
        {
            var (uri, protocol) = Resolve(endpoint);
            _provider = Sdk.CreateTracerProviderBuilder()
                .ConfigureResource(r => r.AddService("myelin", serviceVersion: typeof(TraceExport).Assembly.GetName().Version?.ToString(3)))
                .AddSource(SourceName, "Microsoft.AspNetCore")
                .AddOtlpExporter(o => (o.Endpoint, o.Protocol) = (uri, protocol))
                .Build();
        }

        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        // What is still buffered is worth a moment, a collector that is gone is not worth more.
        _provider?.ForceFlush(timeoutMilliseconds: 2000);
        return Task.CompletedTask;
    }

    public void Dispose() => _provider?.Dispose();

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
