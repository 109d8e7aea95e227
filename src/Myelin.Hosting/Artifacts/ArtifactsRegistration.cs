using Myelin.Hosting.Artifacts.S3;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;

namespace Myelin.Hosting.Artifacts;

internal static class ArtifactsRegistration
{
    /// <summary>The store that the options name: a bucket, or files in the data folder.</summary>
    /// <param name="services">Needs <see cref="MyelinOptions"/>.</param>
    /// <param name="prefix">Of every key in a bucket, where the options name none.</param>
    public static IServiceCollection AddArtifacts(this IServiceCollection services, Func<IServiceProvider, string> prefix)
    {
        services.AddSingleton<IArtifacts>(provider =>
        {
            var options = provider.GetRequiredService<MyelinOptions>();
            var s3 = options.Artifacts.S3;
            return s3.Bucket.Length > 0
                ? new S3Artifacts(s3 with { Prefix = s3.Prefix ?? prefix(provider) })
                : new FolderArtifacts(Path.Combine(options.Data, "artifacts"));
        });
        services.AddHostedService<S3Start>();
        services.AddSingleton<S3Watch>();
        services.AddHostedService(provider => provider.GetRequiredService<S3Watch>());
        services.AddProbe("artifacts", provider => () => provider.GetRequiredService<S3Watch>().Away);
        return services;
    }
}
