using Myelin.Server.Models.Catalogue;

namespace Myelin.Server.Models;

internal static class ModelsRegistration
{
    /// <summary>The model repository, its watcher and the catalogue.</summary>
    public static IServiceCollection AddModels(this IServiceCollection services) => services
        .AddSingleton<ModelLoader>()
        .AddSingleton(provider =>
        {
            var models = ActivatorUtilities.CreateInstance<ModelRepository>(provider);
            models.AddSystemTask(CatalogueInstallTask.Model, ActivatorUtilities.CreateInstance<CatalogueInstallTask>(provider, models));
            return models;
        })
        .AddSingleton<Catalogue.Catalogue>()
        .AddSingleton<ModelMirror>()
        .AddSingleton(provider => ActivatorUtilities.CreateInstance<ModelDownloader>(provider, new HttpClient { Timeout = Timeout.InfiniteTimeSpan }))
        .AddHostedService<ModelWatcher>();
}
