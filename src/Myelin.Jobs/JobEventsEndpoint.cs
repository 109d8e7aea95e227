using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using Myelin.Hosting.Web;

namespace Myelin.Jobs;

/// <summary>
/// <c>GET /v1/jobs/{id}/events</c>: server-sent events until the end. One event is one write and one flush; while
/// nothing happens a comment shows both ends that the line is up.
/// </summary>
internal sealed class JobEventsEndpoint(JobService jobs, TimeProvider time, IHostApplicationLifetime lifetime)
{
    public static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(15);

    public async Task<IResult> HandleAsync(string id, HttpContext context)
    {
        if (!TryLastEventId(context.Request, out var last))
        {
            return new ProblemResult(Problems.Field(ProblemTypes.InvalidInput, "Last-Event-ID", "must be the whole number of an event's id"));
        }

        if (await JobReadEndpoints.FindAsync(jobs, id, context) is not { } job)
        {
            return JobReadEndpoints.NotFound();
        }

        if (job.State.IsEnd() && last >= job.EventId)
        {
            return TypedResults.NoContent(); // tells an EventSource not to come back
        }

        using var either = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, lifetime.ApplicationStopping);
        try
        {
            await StreamAsync(id, last, context.Response, either.Token);
        }
        catch (OperationCanceledException) when (either.IsCancellationRequested)
        {
            // The watcher left, or the server stops; it comes back with Last-Event-ID.
        }

        return TypedResults.Empty;
    }

    private async Task StreamAsync(string id, long? last, HttpResponse response, CancellationToken cancellationToken)
    {
        response.ContentType = "text/event-stream";
        response.Headers.CacheControl = "no-cache, no-transform";
        response.Headers["X-Accel-Buffering"] = "no"; // nginx would hold events back
        var body = response.BodyWriter;
        body.Write("retry: 2000\n\n"u8);
        await body.FlushAsync(cancellationToken);

        var events = jobs.EventsAsync(id, last, cancellationToken).GetAsyncEnumerator(cancellationToken);
        var next = Task.FromResult(false);
        try
        {
            while (true)
            {
                next = events.MoveNextAsync().AsTask();
                while (!await ArrivesAsync(next, cancellationToken))
                {
                    body.Write(": still here\n\n"u8);
                    await body.FlushAsync(cancellationToken);
                }

                if (!await next)
                {
                    return;
                }

                var update = events.Current;
                var job = await jobs.DescribeAsync(update.Job, cancellationToken);
                Write(body, new JobEvent(update.EventId, update.Kind, job));
                await body.FlushAsync(cancellationToken);
            }
        }
        finally
        {
            // An enumerator may not be disposed in the middle of a move; the token ends the move.
            await ((Task)next).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await events.DisposeAsync();
        }
    }

    /// <summary>False after a heartbeat's time without an event.</summary>
    private async Task<bool> ArrivesAsync(Task next, CancellationToken cancellationToken)
    {
        try
        {
            await next.WaitAsync(Heartbeat, time, cancellationToken);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    private static void Write(PipeWriter body, JobEvent update)
    {
        // JSON has no line breaks of its own, so one data line holds it.
        body.Write(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"event: {update.Kind}\nid: {update.Id}\ndata: ")));
        body.Write(JsonReply.Serialize(update).WrittenSpan);
        body.Write("\n\n"u8);
    }

    private static bool TryLastEventId(HttpRequest request, out long? last)
    {
        last = null;
        var text = request.Headers["Last-Event-ID"] is [{ Length: > 0 } header] ? header
            : request.Query["lastEventId"] is [{ Length: > 0 } query] ? query : null;
        if (text is null)
        {
            return true;
        }

        var isNumber = long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var id);
        last = id;
        return isNumber;
    }
}
