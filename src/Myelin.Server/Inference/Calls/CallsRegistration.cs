using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Web;
using Myelin.Serving.Admission;
using Myelin.Serving.Models;
using Myelin.Serving.Registry;

namespace Myelin.Server.Inference.Calls;

internal static class CallsRegistration
{
    /// <summary>Synchronous calls: a worker's listener, a gateway's way to it; their memory, which jobs share. Needs what AddWorkerRegistry and AddModels bring.</summary>
    public static IServiceCollection AddCalls(this IServiceCollection services)
    {
        services.AddSingleton(p => WorkerListener.Of(p.GetRequiredService<MyelinOptions>()));
        services.TryAddSingleton<BodyBudget>();
        services.AddSingleton(p =>
        {
            var models = p.GetRequiredService<ModelRepository>();
            var memory = new CallMemory(models.MakeRoom, p.GetRequiredService<MyelinOptions>().Runtime.Budget, p.GetRequiredService<IMeterFactory>());
            models.CallBytes = () => memory.Taken;
            return memory;
        });
        services.AddSingleton<TensorInstruments>();
        services.AddSingleton<TensorCalls>();
        services.AddSingleton<WorkerLinks>();
        services.AddSingleton<CallInstruments>();
        services.AddSingleton<CallRouter>();
        return services;
    }
}
