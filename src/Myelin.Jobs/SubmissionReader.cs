using Microsoft.Net.Http.Headers;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Web;

namespace Myelin.Jobs;

/// <summary>Reads the body of a submission in either form. What it gives back is not yet checked against a model.</summary>
internal sealed class SubmissionReader(BodyBudget budget, MyelinOptions options)
{
    /// <returns>A draft to dispose, or the problem that ends the request.</returns>
    public async ValueTask<(SubmissionDraft? Draft, ProblemResult? Refusal)> ReadAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        var isJson = IsJson(request.ContentType);
        if (!isJson && !IsMultipart(request.ContentType))
        {
            return (null, WrongType(request.ContentType));
        }

        // Known to be too large: answered without reading a byte.
        if (request.ContentLength > options.Input.MaxBytes)
        {
            return (null, new ProblemResult(
                ProblemTypes.TooLarge, $"the body has {request.ContentLength} bytes; the limit is {options.Input.MaxBytes} (input.maxBytes)"));
        }

        var draft = new SubmissionDraft();
        try
        {
            if (await budget.AcquireAsync(request.ContentLength, cancellationToken) is { } permit)
            {
                draft.Own(permit);
            }

            var problem = isJson
                ? SubmissionJson.Parse(await ReadWholeAsync(request, draft, cancellationToken), draft)
                : await SubmissionMultipart.ReadAsync(request, draft, cancellationToken);
            if (problem is null)
            {
                var read = draft;
                draft = null;
                return (read, null);
            }

            return (null, new ProblemResult(problem));
        }
        finally
        {
            draft?.Dispose();
        }
    }

    private static async ValueTask<Memory<byte>> ReadWholeAsync(HttpRequest request, SubmissionDraft draft, CancellationToken cancellationToken)
    {
        var bytes = new RentedBytes((int)(request.ContentLength ?? 4096));
        draft.Own(bytes);
        while (true)
        {
            var read = await request.BodyReader.ReadAsync(cancellationToken);
            bytes.Append(read.Buffer);
            request.BodyReader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
            {
                return bytes.Memory;
            }
        }
    }

    private static bool IsJson(string? contentType) => contentType is not null
        && contentType.StartsWith("application/json", StringComparison.OrdinalIgnoreCase)
        && (contentType.Length == "application/json".Length || contentType["application/json".Length] is ';' or ' ');

    private static bool IsMultipart(string? contentType) =>
        contentType is not null && contentType.StartsWith("multipart/form-data", StringComparison.OrdinalIgnoreCase);

    private static ProblemResult WrongType(string? contentType)
    {
        var given = MediaTypeHeaderValue.TryParse(contentType, out var parsed) ? $"'{parsed.MediaType}'" : "none";
        return new ProblemResult(Problems.Field(
            ProblemTypes.UnsupportedMediaType, "Content-Type", $"must be application/json or multipart/form-data, and is {given}"));
    }
}
