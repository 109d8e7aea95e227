using Myelin.Hosting.Bus;
using Myelin.Hosting.Web;

namespace Myelin.Jobs;

/// <summary>Jobs that came by the bus from programs that only speak Kafka. They are known by their idempotency key.</summary>
internal static class OpenJobs
{
    /// <summary>Tells the sender of its job. What is larger than the bus takes goes without result and parameters, and says so.</summary>
    public static async ValueTask<Delivery> TellAsync(this IBus bus, Job job, string? key, IReadOnlyDictionary<string, string> headers, CancellationToken cancellationToken)
    {
        var told = await bus.DeliverAsync(Topics.JobsOut, new BusMessage(Topics.JobsOut, key, Json(job), headers), cancellationToken);
        if (told != Delivery.TooLarge)
        {
            return told;
        }

        var less = new Dictionary<string, string>(headers) { ["omitted"] = "result,parameters" };
        return await bus.DeliverAsync(
            Topics.JobsOut, new BusMessage(Topics.JobsOut, key, Json(job with { Result = null, Parameters = null }), less), cancellationToken);
    }

    private static byte[] Json(Job job) => JsonReply.Serialize(job).WrittenSpan.ToArray();
}
