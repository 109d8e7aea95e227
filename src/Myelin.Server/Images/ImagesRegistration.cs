namespace Myelin.Server.Images;

internal static class ImagesRegistration
{
    /// <summary>The image generation APIs of others, on our jobs.</summary>
    public static IServiceCollection AddImages(this IServiceCollection services) => services.AddSingleton<ImageJobs>().AddSingleton<ImageBody>().AddSingleton<A1111Settings>();

    public static void MapImages(this IEndpointRouteBuilder routes)
    {
        routes.MapOpenAiImages();
        routes.MapA1111();
    }
}
