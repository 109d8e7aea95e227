using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;

namespace Myelin.Jobs.Webhooks;

/// <summary>
/// One attempt to tell the bus of the end of a job that came from there. The delivery is a row of the job's own commit,
/// so no end goes untold; while no broker answers it is tried again without end.
/// </summary>
internal sealed class BusPost(IBus bus, JobService jobs, MyelinOptions options, TimeProvider time)
{
    public async Task<PostResult> SendAsync(JobRecord job, CancellationToken cancellationToken)
    {
        var request = IdempotencyKey.Message(job);
        var headers = new Dictionary<string, string> { ["content-type"] = "application/json" };
        if (request is not null)
        {
            headers["idempotency-key"] = request;
        }

        if (job.TraceParent is { } trace)
        {
            headers["traceparent"] = trace;
        }

        try
        {
            var delivery = bus.TellAsync(jobs.Describe(job, position: null), request, headers, cancellationToken).AsTask();
            return await delivery.WaitAsync(options.Webhooks.Timeout, time, cancellationToken) switch
            {
                Delivery.Held => new PostResult(null),
                Delivery.TooLarge => new PostResult("larger than the bus takes (bus.kafka.maxMessageBytes)", Final: true),
                _ => new PostResult("the bus dropped it", Endless: true),
            };
        }
        catch (TimeoutException)
        {
            return new PostResult("no broker takes it", Endless: true);
        }
    }
}
