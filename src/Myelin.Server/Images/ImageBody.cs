using System.Text.Json;
using Myelin.Hosting.Web;

namespace Myelin.Server.Images;

/// <summary>Reads the JSON bodies of the compatible endpoints within the memory that all bodies share.</summary>
internal sealed class ImageBody(BodyBudget budget)
{
    /// <summary>
    /// Parses the body and gives it to <paramref name="read"/> while its bytes are held. A body that is no JSON, or text
    /// that is no Unicode, is a problem; a null of <paramref name="read"/> is the caller's own refusal.
    /// </summary>
    public async Task<(T? Request, ProblemResult? Problem)> ReadAsync<T>(HttpContext context, Func<JsonElement, T?> read) where T : class
    {
        using var permit = await budget.AcquireAsync(context.Request.ContentLength, context.RequestAborted);
        try
        {
            using var document = await JsonDocument.ParseAsync(context.Request.Body, new JsonDocumentOptions { MaxDepth = Limits.JsonDepth }, context.RequestAborted);
            return (read(document.RootElement), null);
        }
        catch (JsonException e)
        {
            return (null, new ProblemResult(ProblemTypes.MalformedRequest, $"the body is not JSON: {e.Message}"));
        }
        catch (InvalidOperationException)
        {
            // What the reader throws for text that is no valid UTF-8 or holds half a surrogate pair.
            return (null, new ProblemResult(ProblemTypes.MalformedRequest, "the body holds text that is not Unicode; send UTF-8"));
        }
    }
}
