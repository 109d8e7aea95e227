using System.Globalization;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Web;
using Myelin.Inference;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Oip;
using Myelin.Inference.Tasks.Tensors;
using Myelin.Serving.Admission;
using Myelin.Serving.Models;

namespace Myelin.Server.Inference;

/// <summary>
/// Tensor calls on this process's own models, in the form of the Open Inference Protocol: the request off the body, the
/// network's turn, the outputs onto the body. As many at a time as <c>calls.atOnce</c>; one more is refused before its
/// body is read. Nothing is stored; who leaves interrupts the network.
/// </summary>
internal sealed partial class TensorCalls(ModelRepository models, BodyBudget budget, CallMemory memory, TensorInstruments instruments, MyelinOptions options, TimeProvider time, ILogger<TensorCalls> logger)
{
    private readonly OipLimits _limits = new() { MaxBytes = options.Input.MaxBytes, MaxJsonBytes = (int)Math.Min(options.Input.MaxBytes, 64 << 20) };
    private int _running;

    /// <summary>Calls under way.</summary>
    public int Running => Volatile.Read(ref _running);

    public async Task AnswerAsync(HttpContext context, CallPath path)
    {
        if (Interlocked.Increment(ref _running) > options.Calls.AtOnce)
        {
            Interlocked.Decrement(ref _running);
            context.Response.Headers[OipReplies.Refused] = "1";
            context.Response.Headers.RetryAfter = "1";
            await OipReplies.ErrorAsync(context, StatusCodes.Status429TooManyRequests, "every place for a call is taken (calls.atOnce); try again");
            return;
        }

        try
        {
            await RunAsync(context, path);
        }
        catch (Exception fault) when (!context.Response.HasStarted && Status(fault, context.RequestAborted) is { } status)
        {
            if (status == StatusCodes.Status500InternalServerError)
            {
                LogFailed(path.Model, fault);
            }

            await OipReplies.ErrorAsync(context, status, fault.Message);
        }
        finally
        {
            Interlocked.Decrement(ref _running);
            if (path.Infer && models.Find(path.Model) is not null)
            {
                instruments.Served(path.Model, context.Response.StatusCode);
            }
        }
    }

    private async Task RunAsync(HttpContext context, CallPath path)
    {
        using var lease = await models.AcquireAsync(path.Model, context.RequestAborted);
        var revision = models.Find(path.Model)?.Revisions is [.., var newest] ? newest : "1";
        if (path.Version is { } asked && asked != revision)
        {
            throw new OipException("version", $"'{asked}' does not serve; '{revision}' does");
        }

        if (lease.Task is not ITensorTask { Network: { } network } task)
        {
            throw new OipException("model", $"'{path.Model}' takes no tensors; submit a job: POST /v1/jobs");
        }

        if (path.Infer)
        {
            await InferAsync(context, path.Model, revision, task, network);
        }
        else
        {
            await OipReplies.JsonAsync(context, StatusCodes.Status200OK, json => OipMetadata.Model(json, path.Model, revision, network));
        }
    }

    private async Task InferAsync(HttpContext context, string model, string revision, ITensorTask task, IRuntime network)
    {
        var request = context.Request;
        using var body = await budget.AcquireAsync(request.ContentLength, context.RequestAborted);
        using var message = await OipReader.ReadAsync(request.Body, HeadLength(request), request.ContentLength, "inputs", _limits, context.RequestAborted);
        OipFit.Check(message.Tensors, network.Inputs);
        using var late = new CancellationTokenSource(message.Timeout < options.Calls.Timeout && message.Timeout > TimeSpan.Zero ? message.Timeout : options.Calls.Timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, context.RequestAborted);
        var room = await memory.EnterAsync(task.MemoryOf(message.Tensors), either.Token);
        var begun = time.GetTimestamp();
        using var outputs = await InferAsync(network, message.Tensors, room, either.Token);
        var took = time.GetElapsedTime(begun);
        instruments.Ran(model, took);
        var reply = new OipReply(model, revision, message, outputs, took);
        var response = context.Response;
        response.ContentLength = reply.Length;
        response.ContentType = reply.ContentType;
        if (reply.HeadLength is { } head)
        {
            response.Headers[OipReader.HeadLengthHeader] = head.ToString(CultureInfo.InvariantCulture);
        }

        await response.StartAsync(context.RequestAborted); // before it the writer lends no memory
        await reply.WriteAsync(response.BodyWriter, context.RequestAborted);
    }

    /// <summary>The room is for what the network takes while it runs; not for as long as somebody reads.</summary>
    private static async Task<TensorSet> InferAsync(IRuntime network, IReadOnlyList<Tensor> inputs, IDisposable? room, CancellationToken cancellationToken)
    {
        using (room)
        {
            return await network.InferAsync(inputs, cancellationToken);
        }
    }

    private static long? HeadLength(HttpRequest request)
    {
        if (request.Headers[OipReader.HeadLengthHeader] is not [{ } given])
        {
            return null;
        }

        return long.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out var length) && length > 0
            ? length
            : throw new OipException(OipReader.HeadLengthHeader, "must be a whole number of bytes, at least 1");
    }

    /// <summary>Null for what is nobody's answer any more, and for what the outermost middleware knows better.</summary>
    private static int? Status(Exception fault, CancellationToken left) => fault switch
    {
        OipException { Unsupported: true } => StatusCodes.Status501NotImplemented,
        OipException or InputException => StatusCodes.Status400BadRequest,
        ModelException => StatusCodes.Status503ServiceUnavailable,
        OperationCanceledException when !left.IsCancellationRequested => StatusCodes.Status504GatewayTimeout,
        RuntimeException { Retryable: true } => StatusCodes.Status503ServiceUnavailable,
        RuntimeException => StatusCodes.Status500InternalServerError,
        _ => null,
    };

    [LoggerMessage(LogLevel.Warning, "A call of model {Model} failed")]
    private partial void LogFailed(string model, Exception fault);
}
