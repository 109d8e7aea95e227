using Myelin.Hosting.Configuration;
using Myelin.Serving.Registry;

namespace Myelin.Server.Inference.Calls;

/// <summary>
/// Answers what comes in by the <see cref="WorkerListener"/>, before anything of the public server sees it: who does not
/// know the cluster's key is turned away; then tensor calls, and nothing else. A call that this worker cannot take is
/// refused before its body is read, so that the gateway can send it elsewhere.
/// </summary>
internal sealed partial class WorkerCallMiddleware(
    RequestDelegate next, TensorCalls calls, WorkerIdentity identity, MyelinOptions options, IHostApplicationLifetime lifetime, ILogger<WorkerCallMiddleware> logger)
{
    public Task InvokeAsync(HttpContext context) => context.Features.Get<WorkerListener>() is null ? next(context) : AnswerAsync(context);

    private Task AnswerAsync(HttpContext context)
    {
        var headers = context.Request.Headers;
        if (!WorkerCallHeaders.IsKey(options.Cluster.Key, headers[WorkerCallHeaders.Key]))
        {
            LogStranger(context.Connection.RemoteIpAddress?.ToString() ?? "the socket");
            return OipReplies.ErrorAsync(context, StatusCodes.Status401Unauthorized, "the cluster key is not this worker's (cluster.key)");
        }

        if (headers[WorkerCallHeaders.Worker] is [{ } meant] && meant != identity.Id)
        {
            return RefuseAsync(context, "another worker is meant");
        }

        if (lifetime.ApplicationStopping.IsCancellationRequested)
        {
            return RefuseAsync(context, "this worker shuts down");
        }

        return CallPath.Parse(context.Request) is { } path
            ? calls.AnswerAsync(context, path)
            : OipReplies.ErrorAsync(context, StatusCodes.Status404NotFound, "this address is for tensor calls only");
    }

    private static Task RefuseAsync(HttpContext context, string why)
    {
        context.Response.Headers[OipReplies.Refused] = "1";
        return OipReplies.ErrorAsync(context, StatusCodes.Status503ServiceUnavailable, why);
    }

    [LoggerMessage(LogLevel.Warning, "A call from {Peer} did not show the cluster's key")]
    private partial void LogStranger(string peer);
}
