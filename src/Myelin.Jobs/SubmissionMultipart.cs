using System.Text;
using System.Text.Unicode;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;
using Myelin.Hosting.Web;

namespace Myelin.Jobs;

/// <summary>
/// The multipart form of a submission, read part by part as it arrives: <c>model</c>, <c>parameters</c> (JSON),
/// <c>priority</c>, <c>key</c>, <c>deadline</c>, <c>callback</c> (an address, or JSON) as fields, every other part an
/// input by its name.
/// </summary>
internal static class SubmissionMultipart
{
    private const int MostSections = 64;
    private const int LongestField = 1 << 20;
    private const int LongestBoundary = 70; // RFC 2046

    public static async ValueTask<Problem?> ReadAsync(HttpRequest request, SubmissionDraft draft, CancellationToken cancellationToken)
    {
        var boundary = MediaTypeHeaderValue.TryParse(request.ContentType, out var type) ? HeaderUtilities.RemoveQuotes(type.Boundary).Value : null;
        if (boundary is null or { Length: 0 or > LongestBoundary })
        {
            return Problems.Field(ProblemTypes.MalformedRequest, "Content-Type", $"multipart/form-data needs a boundary of 1 to {LongestBoundary} characters");
        }

        var reader = new MultipartReader(boundary, request.Body) { HeadersCountLimit = 16, HeadersLengthLimit = 8 << 10 };
        try
        {
            for (var count = 0; await reader.ReadNextSectionAsync(cancellationToken) is { } section; count++)
            {
                if (count == MostSections)
                {
                    return Problems.Of(ProblemTypes.MalformedRequest, $"the form has more than {MostSections} parts");
                }

                if (await ReadSectionAsync(section, draft, cancellationToken) is { } problem)
                {
                    return problem;
                }
            }

            return null;
        }
        catch (Exception e) when (e is InvalidDataException || (e is IOException and not BadHttpRequestException && !request.HttpContext.RequestAborted.IsCancellationRequested))
        {
            return Problems.Of(ProblemTypes.MalformedRequest, $"the multipart form breaks off or is not one: {e.Message}");
        }
    }

    private static async ValueTask<Problem?> ReadSectionAsync(MultipartSection section, SubmissionDraft draft, CancellationToken cancellationToken)
    {
        if (!ContentDispositionHeaderValue.TryParse(section.ContentDisposition, out var disposition)
            || HeaderUtilities.RemoveQuotes(disposition.Name).Value is not { Length: > 0 and <= 200 } name)
        {
            return Problems.Of(ProblemTypes.MalformedRequest, "every part needs 'Content-Disposition: form-data; name=\"…\"' with a name of at most 200 characters");
        }

        var isField = SubmissionFields.Names.Contains(name) && name != "input";
        var bytes = new RentedBytes(isField ? 1 << 10 : 64 << 10);
        draft.Own(bytes);
        int read;
        while ((read = await section.Body.ReadAsync(bytes.Free(16 << 10), cancellationToken)) > 0)
        {
            bytes.Advance(read);
            if (isField && bytes.Length > LongestField)
            {
                return Problems.Field(ProblemTypes.TooLarge, name, $"has more than {LongestField} bytes");
            }
        }

        if (!isField)
        {
            SubmissionFields.AddPart(new SubmissionPart(name.StartsWith("input.", StringComparison.Ordinal) ? name[6..] : name, PartForm.Bytes, section.ContentType, bytes.Memory), draft);
            return null;
        }

        return Utf8.IsValid(bytes.Memory.Span)
            ? ReadField(name, bytes.Memory, draft)
            : Problems.Field(ProblemTypes.MalformedRequest, name, "is not UTF-8");
    }

    private static Problem? ReadField(string name, Memory<byte> content, SubmissionDraft draft)
    {
        if (name == "parameters")
        {
            return SubmissionJson.ParseParameters(content, draft);
        }

        var text = Encoding.UTF8.GetString(content.Span);
        if (name == "callback" && text.AsSpan().TrimStart().StartsWith("{"))
        {
            return SubmissionJson.ParseCallback(content, draft);
        }

        if (content.Length > SubmissionFields.LongestText)
        {
            draft.Errors.Add(name, $"has more than {SubmissionFields.LongestText} bytes");
            return null;
        }

        switch (name)
        {
            case "model": draft.Model = text; break;
            case "priority": SubmissionFields.Priority(text, draft); break;
            case "key": SubmissionFields.Key(text, draft); break;
            case "deadline": SubmissionFields.Deadline(text, draft); break;
            case "callback": draft.CallbackUrl = text; break;
        }

        return null;
    }
}
