using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;
using Myelin.Hosting.Telemetry;
using Myelin.Hosting.Web;
using Myelin.Jobs;
using Myelin.Jobs.Webhooks;

namespace Myelin.Server.Gateway;

/// <summary>
/// What answers HTTP. Every process has health, metrics and the guards before them; the API and the page are the gateway
/// role's. The composition root calls these methods; the rest is in the capabilities' folders.
/// </summary>
internal static class GatewayRegistration
{
    private static readonly TimeSpan s_uploadGrace = TimeSpan.FromSeconds(10);

    /// <summary>What every process has. Needs <see cref="MyelinOptions"/>, and what AddJobs brings.</summary>
    public static IServiceCollection AddOperations(this IServiceCollection services, MyelinOptions options)
    {
        services.Configure<KestrelServerOptions>(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = options.Input.MaxBytes;
            kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(options.Input.MinBytesPerSecond, s_uploadGrace);
        });
        services.TryAddSingleton<SiteGuard>();
        services.TryAddSingleton<FailedAttempts>();
        services.TryAddSingleton<AccountsInstruments>();
        services.TryAddSingleton<KeyRing>();
        services.TryAddSingleton<MetricsPage>();
        services.TryAddSingleton<InferenceInstruments>();
        services.AddHealth();
        services.TryAddSingleton(KeyStores.Of);
        services.AddTraceExport(options.Telemetry);
        services.AddRouting();
        return services;
    }

    /// <summary>The public API. Needs what <see cref="AddOperations"/>, AddJobs and AddModels bring.</summary>
    public static IServiceCollection AddGateway(this IServiceCollection services)
    {
        services.ConfigureHttpJsonOptions(json =>
        {
            // For the OpenAPI document; answers are written by JsonReply from the same context.
            json.SerializerOptions.TypeInfoResolverChain.Insert(0, JsonContext.Default);
            json.SerializerOptions.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
            json.SerializerOptions.PropertyNamingPolicy = JsonNamingPolicy.CamelCase;
        });
        services.AddSingleton<ModelViews>();
        services.TryAddSingleton<BodyBudget>();
        services.TryAddSingleton<SubmissionReader>();
        services.AddSubmissionCheck();
        services.TryAddSingleton<JobSubmitEndpoint>();
        services.TryAddSingleton<JobReadEndpoints>();
        services.TryAddSingleton<JobEventsEndpoint>();
        services.TryAddSingleton<JobArtifactEndpoint>();
        services.TryAddSingleton<WebhookInstruments>();
        services.TryAddSingleton<BusPost>();
        services.TryAddSingleton<WebhookPost>();
        services.AddHostedService<WebhookSender>();
        services.AddMyelinOpenApi();
        return services;
    }

    /// <summary>The way of every request, up to its endpoint.</summary>
    public static WebApplication UseMyelin(this WebApplication app)
    {
        // Listens from the first request on, not from the first scrape.
        app.Services.GetRequiredService<MetricsPage>();

        app.UseMiddleware<FaultMiddleware>();
        app.UseMiddleware<AccountsMiddleware>();
        app.UseMiddleware<SiteMiddleware>();
        if (app.Services.GetRequiredService<MyelinOptions>().Runs(Role.Gateway))
        {
            app.UsePage();
        }

        app.UseRouting();
        app.UseMiddleware<ScopeMiddleware>();
        return app;
    }
}
