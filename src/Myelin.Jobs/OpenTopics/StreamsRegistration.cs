using Myelin.Hosting.Configuration;

namespace Myelin.Jobs.OpenTopics;

internal static class StreamsRegistration
{
    /// <summary>Jobs and frames by Kafka, as the options open them. Needs what AddGateway, AddJobs and AddWorker bring.</summary>
    /// <param name="services">Of the server.</param>
    /// <param name="open">What is open.</param>
    /// <param name="gateway">This process takes jobs.</param>
    /// <param name="worker">This process works on frames.</param>
    public static IServiceCollection AddOpenTopics(this IServiceCollection services, OpenTopicsOptions open, bool gateway, bool worker)
    {
        services.AddSingleton<AllowedModels>().AddSingleton<StreamInstruments>();
        if (gateway && open.Jobs)
        {
            services.AddSingleton<JobsTopicIntake>().AddHostedService<JobsTopic>();
        }

        if (worker && FrameTopics.Streams(open).Length > 0)
        {
            services.AddSubmissionCheck().AddSingleton<FrameWork>().AddSingleton<FrameDelivery>().AddHostedService<FrameTopics>();
        }

        return services;
    }
}
