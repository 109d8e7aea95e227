using System.Text.Json;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Sidecars;
using Myelin.Inference.Tasks.Generation;
using Myelin.Serving.Models.Catalogue;

namespace Myelin.Serving.Models;

internal static class ModelsRegistration
{
    /// <summary>The model repository, its watcher and the catalogue.</summary>
    public static IServiceCollection AddModels(this IServiceCollection services) => services
        .AddSingleton(provider => new SidecarSupervisor(
            provider.GetRequiredService<MyelinOptions>().ToSidecarOptions(), provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILoggerFactory>()))
        .AddSingleton<SidecarInstruments>()
        .AddHostedService<SidecarService>()
        .AddSingleton<ModelLoader>()
        .AddSingleton(provider =>
        {
            var models = ActivatorUtilities.CreateInstance<ModelRepository>(provider);
            models.AddSystemTask(CatalogueInstallTask.Model, ActivatorUtilities.CreateInstance<CatalogueInstallTask>(provider, models));
            return models;
        })
        .AddSingleton<SettleParameters>(provider =>
        {
            var models = provider.GetRequiredService<ModelDirectory>();
            return (model, parameters) => models.Find(model)?.Task == TaskNames.TextToImage ? WithSeed(parameters) : parameters;
        })
        .AddSingleton<ModelDirectory>()
        .AddSingleton<Catalogue.Catalogue>()
        .AddSingleton<ModelMirror>()
        .AddSingleton(provider => ActivatorUtilities.CreateInstance<ModelDownloader>(provider, new HttpClient { Timeout = Timeout.InfiniteTimeSpan }))
        .AddSingleton<ModelWatcher>()
        .AddHostedService(provider => provider.GetRequiredService<ModelWatcher>())
        .AddProbe("models", provider => provider.GetRequiredService<ModelWatcher>().Unready)
        .AddHostedService<ModelTopics>();

    private static ReadOnlyMemory<byte> WithSeed(ReadOnlyMemory<byte> parameters)
    {
        using var document = JsonDocument.Parse(parameters);
        return JsonSerializer.SerializeToUtf8Bytes(GenerationSeed.Settle(document.RootElement), JsonContext.Default.JsonElement);
    }
}
