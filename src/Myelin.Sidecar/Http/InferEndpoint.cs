using Microsoft.AspNetCore.Http;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Oip;
using Myelin.Protocol.Sidecars;

namespace Myelin.Sidecar.Http;

/// <summary>One call: the request off the body, the model's turn, the outputs onto the body.</summary>
internal sealed class InferEndpoint(OipLimits limits, CallFollowers followers, TimeProvider time)
{
    /// <exception cref="OipException">The request is wrong.</exception>
    public async Task RunAsync(HttpContext context, ServedModel served)
    {
        using var request = await ReadAsync(context, served.Model).ConfigureAwait(false);
        FollowedCall? followed = null;
        if (request.Call is { } name && !followers.TryBegin(name, out followed))
        {
            throw new OipException("parameters." + OipExtensions.Call, $"'{name}' is the name of a call that runs, or too many calls are followed");
        }

        TensorSet outputs;
        TimeSpan compute;
        try
        {
            using var late = new CancellationTokenSource(request.Timeout, time);
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(late.Token, context.RequestAborted);
            (outputs, compute) = await served.InferAsync(new HttpSidecarCall(request, followed), deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException fault) when (!context.RequestAborted.IsCancellationRequested && request.Timeout != Timeout.InfiniteTimeSpan)
        {
            throw new RuntimeException($"the {request.Timeout.TotalMilliseconds:0} ms that the caller waits are over", retryable: false, fault) { Code = SidecarErrors.Deadline };
        }
        finally
        {
            if (followed is not null)
            {
                followers.End(request.Call!, followed); // before the answer: who has that has heard everything
            }
        }

        using (outputs)
        {
            await AnswerAsync(context, served.Model, request, outputs, compute).ConfigureAwait(false);
        }
    }

    private ValueTask<OipMessage> ReadAsync(HttpContext context, SidecarModel model)
    {
        var request = context.Request;
        if (request.Headers.ContentEncoding is { Count: > 0 } encoding && encoding != "identity")
        {
            throw new OipException("Content-Encoding", $"'{encoding}' is not offered; send the body as it is", unsupported: true);
        }

        long? head = null;
        if (request.Headers.TryGetValue(OipReader.HeadLengthHeader, out var given))
        {
            head = long.TryParse(given, System.Globalization.NumberStyles.None, null, out var length)
                ? length
                : throw new OipException(OipReader.HeadLengthHeader, "must be a whole number of bytes");
        }

        return head == 0
            ? RawRequest.ReadAsync(request.Body, request.ContentLength, model, limits, context.RequestAborted)
            : OipReader.ReadAsync(request.Body, head, request.ContentLength, "inputs", limits, context.RequestAborted);
    }

    private static async Task AnswerAsync(HttpContext context, SidecarModel model, OipMessage request, TensorSet outputs, TimeSpan compute)
    {
        var reply = new OipReply(model.Name, model.Version, request, outputs, compute);
        var response = context.Response;
        response.ContentLength = reply.Length;
        response.ContentType = reply.ContentType;
        if (reply.HeadLength is { } head)
        {
            response.Headers[OipReader.HeadLengthHeader] = head.ToString(System.Globalization.CultureInfo.InvariantCulture);
        }

        await response.StartAsync(context.RequestAborted).ConfigureAwait(false); // before it the writer lends no memory
        await reply.WriteAsync(response.BodyWriter, context.RequestAborted).ConfigureAwait(false);
    }
}
