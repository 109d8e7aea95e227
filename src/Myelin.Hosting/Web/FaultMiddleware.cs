using Microsoft.AspNetCore.Connections;
using Myelin.Hosting.Artifacts;
using Myelin.Hosting.Storage;
using Myelin.Inference;
using Myelin.Inference.Models;

namespace Myelin.Hosting.Web;

/// <summary>
/// The outermost middleware: whatever is thrown becomes a problem, and a bare status gets one as its body. Nothing of a
/// fault's text leaves the server; the log has it.
/// </summary>
internal sealed partial class FaultMiddleware(RequestDelegate next, ILogger<FaultMiddleware> logger)
{
    /// <summary>nginx's status for a caller that left; only logs and metrics see it.</summary>
    private const int ClientClosedRequest = 499;

    private static readonly TimeSpan s_later = TimeSpan.FromSeconds(2);

    public async Task InvokeAsync(HttpContext context)
    {
        try
        {
            await next(context);
        }
        catch (Exception exception) when (context.RequestAborted.IsCancellationRequested && IsDisconnect(exception))
        {
            if (!context.Response.HasStarted)
            {
                context.Response.StatusCode = ClientClosedRequest;
            }

            return;
        }
        catch (Exception exception) when (!context.Response.HasStarted)
        {
            var problem = Classify(exception);
            if (problem.Status == StatusCodes.Status500InternalServerError)
            {
                LogFault(logger, exception, context.Request.Method, context.Request.Path);
            }

            // Headers that describe the body that never came (length, range, tag) must not describe the problem.
            context.Response.Clear();
            SecurityHeaders.Apply(context);
            await new ProblemResult(problem, problem.Type == ProblemTypes.StorageUnavailable ? s_later : null).ExecuteAsync(context);
            return;
        }

        var response = context.Response;
        if (response.StatusCode >= 400 && !response.HasStarted && response.ContentLength is null or 0)
        {
            await new ProblemResult(Problems.OfStatus(response.StatusCode, context.Request.Path)).ExecuteAsync(context);
        }
    }

    private static bool IsDisconnect(Exception exception) =>
        exception is OperationCanceledException or ConnectionResetException or BadHttpRequestException or IOException;

    private static Problem Classify(Exception exception) => exception switch
    {
        BadHttpRequestException { StatusCode: StatusCodes.Status400BadRequest } e => Problems.Of(ProblemTypes.MalformedRequest, e.Message),
        BadHttpRequestException e => Problems.OfStatus(e.StatusCode, ""),
        InputException e => Problems.Field(TypeOf(e.Code), e.Field, e.Message),
        ModelException e => Problems.Of(ProblemTypes.ModelUnavailable, e.Message),
        ArtifactsFullException or StorageFullException => Problems.Of(ProblemTypes.StorageFull, "free space on the data disk or delete old jobs"),
        StorageUnavailableException or StorageClosedException => Problems.Of(
            ProblemTypes.StorageUnavailable, "the database does not answer; send the same request again after Retry-After, a job with an Idempotency-Key so that it is accepted once"),
        ArtifactsUnavailableException => Problems.Of(
            ProblemTypes.StorageUnavailable, "the store of pictures and results does not answer; send the same request again after Retry-After"),
        _ => Problems.Of(ProblemTypes.Internal, "the request failed; the server's log says why"),
    };

    public static string TypeOf(InputErrorCode code) => code switch
    {
        InputErrorCode.TooLarge => ProblemTypes.TooLarge,
        InputErrorCode.UnsupportedMediaType => ProblemTypes.UnsupportedMediaType,
        _ => ProblemTypes.InvalidInput,
    };

    [LoggerMessage(LogLevel.Error, "{method} {path} failed")]
    private static partial void LogFault(ILogger logger, Exception exception, string method, PathString path);
}
