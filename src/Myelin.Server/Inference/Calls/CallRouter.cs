using System.Globalization;
using Myelin.Hosting.Configuration;
using Myelin.Inference.Runtimes.Oip;
using Myelin.Serving.Models;

namespace Myelin.Server.Inference.Calls;

/// <summary>
/// A gateway's side of synchronous calls: to this process where it has the model, else to the worker that
/// <see cref="WorkerLinks"/> chooses. Another worker is tried where nothing was done: no connection, or refused before
/// the body was read. Once a part of the body was sent and the answer does not come, the caller decides: the call may
/// have run.
/// </summary>
internal sealed partial class CallRouter(
    WorkerLinks links, TensorCalls own, ModelRepository models, CallInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<CallRouter> logger)
{
    private static readonly string[] s_kept = ["Content-Type", "Retry-After", OipReader.HeadLengthHeader];

    private readonly bool _worker = options.Runs(Role.Worker);

    public async Task RouteAsync(HttpContext context, CallPath path)
    {
        if (_worker && models.Runs(path.Model))
        {
            instruments.Ended(path.Model, CallOutcome.Local);
            await own.AnswerAsync(context, path);
            return;
        }

        var outcome = CallOutcome.Left;
        try
        {
            outcome = await SendAsync(context, path);
        }
        finally
        {
            instruments.Ended(path.Model, outcome);
        }
    }

    private async Task<CallOutcome> SendAsync(HttpContext context, CallPath path)
    {
        var body = await CallBody.OfAsync(context.Request, context.RequestAborted);
        var tried = new HashSet<string>(StringComparer.Ordinal);
        var refused = false;
        while (links.Choose(path.Model, tried) is { } chosen)
        {
            tried.Add(chosen.Worker.Id);
            using var call = chosen.Link.Begin();
            using var late = new CancellationTokenSource(options.Calls.Timeout, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, context.RequestAborted);
            try
            {
                using var request = Request(path, chosen.Worker.Id, chosen.Link.Address, body);
                using var response = await chosen.Link.SendAsync(request, either.Token);
                if (response.Headers.Contains(OipReplies.Refused))
                {
                    refused = true;
                    instruments.TriedAgain(path.Model, "refused");
                    if (body.CanRepeat)
                    {
                        continue;
                    }

                    break;
                }

                await CopyAsync(response, context, either.Token);
                return CallOutcome.Answered;
            }
            catch (Exception) when (body.Fault is not null)
            {
                throw body.Fault; // the caller's own: too slow, or gone
            }
            catch (HttpRequestException e) when (context.RequestAborted.IsCancellationRequested)
            {
                throw new OperationCanceledException("the caller left", e, context.RequestAborted);
            }
            catch (Exception e) when (!context.RequestAborted.IsCancellationRequested && e is HttpRequestException or IOException or OperationCanceledException or ObjectDisposedException)
            {
                LogFailed(chosen.Worker.Host, path.Model, e.Message);
                chosen.Link.Avoid();
                if (body.IsUnsent && !late.IsCancellationRequested)
                {
                    instruments.TriedAgain(path.Model, "unreachable");
                    continue;
                }

                return await LostAsync(context, late.IsCancellationRequested);
            }
        }

        context.Response.Headers.RetryAfter = "1";
        await (refused
            ? OipReplies.ErrorAsync(context, StatusCodes.Status429TooManyRequests, "every worker that has the model is full; try again")
            : OipReplies.ErrorAsync(context, StatusCodes.Status503ServiceUnavailable, $"no worker that can be reached has '{path.Model}' now; try again, or submit a job, which waits"));
        return refused ? CallOutcome.Refused : CallOutcome.NoWorker;
    }

    private HttpRequestMessage Request(CallPath path, string worker, Uri address, CallBody body)
    {
        var request = new HttpRequestMessage(path.Infer ? HttpMethod.Post : HttpMethod.Get, new Uri(address, path.ToPath()));
        if (path.Infer)
        {
            request.Content = body.Content();

            // A refusal then comes before the body has left.
            request.Headers.ExpectContinue = !body.IsHeld;
        }

        request.Headers.TryAddWithoutValidation(WorkerCallHeaders.Worker, worker);
        if (options.Cluster.Key.Length > 0)
        {
            request.Headers.TryAddWithoutValidation(WorkerCallHeaders.Key, options.Cluster.Key);
        }

        return request;
    }

    private static async Task CopyAsync(HttpResponseMessage response, HttpContext context, CancellationToken cancellationToken)
    {
        var to = context.Response;
        to.StatusCode = (int)response.StatusCode;
        to.ContentLength = response.Content.Headers.ContentLength;
        foreach (var name in s_kept)
        {
            if (response.Headers.TryGetValues(name, out var values) || response.Content.Headers.TryGetValues(name, out values))
            {
                to.Headers[name] = values.ToArray();
            }
        }

        await response.Content.CopyToAsync(to.Body, cancellationToken);
    }

    private static async Task<CallOutcome> LostAsync(HttpContext context, bool late)
    {
        if (context.Response.HasStarted)
        {
            context.Abort(); // half an answer must not look whole
            return CallOutcome.Lost;
        }

        context.Response.Clear();
        context.Response.Headers.RetryAfter = 1.ToString(CultureInfo.InvariantCulture);
        await (late
            ? OipReplies.ErrorAsync(context, StatusCodes.Status504GatewayTimeout, "the worker did not answer in time (calls.timeout)")
            : OipReplies.ErrorAsync(context, StatusCodes.Status503ServiceUnavailable, "the worker was lost in the middle of the call; it may have run, and running it again changes nothing"));
        return CallOutcome.Lost;
    }

    [LoggerMessage(LogLevel.Warning, "Worker {Worker} did not answer a call of {Model}: {Reason}")]
    private partial void LogFailed(string worker, string model, string reason);
}
