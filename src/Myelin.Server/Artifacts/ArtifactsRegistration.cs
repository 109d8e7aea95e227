using Myelin.Server.Artifacts.S3;
using Myelin.Server.Configuration;

namespace Myelin.Server.Artifacts;

internal static class ArtifactsRegistration
{
    /// <summary>The store that the options name: a bucket, or files in the data folder.</summary>
    public static IServiceCollection AddArtifacts(this IServiceCollection services)
    {
        services.AddSingleton<IArtifacts>(provider =>
        {
            var options = provider.GetRequiredService<MyelinOptions>();
            return options.Artifacts.S3.Bucket.Length > 0
                ? new S3Artifacts(options.Artifacts.S3)
                : new FolderArtifacts(Path.Combine(options.Data, "artifacts"));
        });
        services.AddHostedService<S3Start>();
        return services;
    }
}
