using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Myelin.Server.Accounts;
using Myelin.Server.Configuration;
using Myelin.Server.Jobs;
using Myelin.Server.Models;
using Myelin.Server.Telemetry;
using Myelin.Server.Webhooks;

namespace Myelin.Server.Web;

/// <summary>The gateway role: what answers HTTP. The composition root calls the two methods; the rest is in the capabilities' folders.</summary>
internal static class Gateway
{
    private static readonly TimeSpan s_uploadGrace = TimeSpan.FromSeconds(10);

    /// <summary>Needs <see cref="MyelinOptions"/>, and what AddJobs and AddModels bring.</summary>
    public static IServiceCollection AddGateway(this IServiceCollection services, MyelinOptions options)
    {
        services.ConfigureHttpJsonOptions(json =>
        {
            // For the OpenAPI document; answers are written by JsonReply from the same context.
            json.SerializerOptions.TypeInfoResolverChain.Insert(0, JsonContext.Default);
            json.SerializerOptions.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
            json.SerializerOptions.PropertyNamingPolicy = JsonNamingPolicy.CamelCase;
        });
        services.Configure<KestrelServerOptions>(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = options.Input.MaxBytes;
            kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(options.Input.MinBytesPerSecond, s_uploadGrace);
        });
        services.TryAddSingleton<SiteGuard>();
        services.TryAddSingleton<FailedAttempts>();
        services.TryAddSingleton<KeyRing>();
        services.TryAddSingleton<MetricsPage>();
        services.TryAddSingleton<InferenceInstruments>();
        services.TryAddSingleton<Readiness>();
        services.TryAddSingleton(KeyStores.Of);
        services.TryAddSingleton<BodyBudget>();
        services.TryAddSingleton<SubmissionReader>();
        services.TryAddSingleton<SubmissionParts>();
        services.TryAddSingleton<SubmissionCheck>();
        services.TryAddSingleton(p => new InputFetcher(p.GetRequiredService<MyelinOptions>(), p.GetRequiredService<TimeProvider>()));
        services.TryAddSingleton<JobSubmitEndpoint>();
        services.TryAddSingleton<JobReadEndpoints>();
        services.TryAddSingleton<JobEventsEndpoint>();
        services.TryAddSingleton<JobArtifactEndpoint>();
        services.TryAddSingleton<WebhookInstruments>();
        services.TryAddSingleton<BusPost>();
        services.TryAddSingleton<WebhookPost>();
        services.AddHostedService<WebhookSender>();
        services.AddHostedService<TraceExport>();
        services.AddMyelinOpenApi();
        services.AddRouting();
        return services;
    }

    public static WebApplication MapMyelin(this WebApplication app)
    {
        // Listens from the first request on, not from the first scrape.
        app.Services.GetRequiredService<MetricsPage>();

        if (app.Services.GetRequiredService<MyelinOptions>().Telemetry.OtlpEndpoint is { Length: > 0 })
        {
            app.UseMiddleware<RequestSpanMiddleware>();
        }

        app.UseMiddleware<FaultMiddleware>();
        app.UseMiddleware<AccountsMiddleware>();
        app.UseMiddleware<SiteMiddleware>();
        app.UsePage();
        app.UseRouting();
        app.UseMiddleware<ScopeMiddleware>();
        app.MapJobs();
        app.MapModels();
        app.MapTelemetry();
        app.MapMyelinOpenApi();
        return app;
    }
}
