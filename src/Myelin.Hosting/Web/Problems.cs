using System.Collections.Frozen;

namespace Myelin.Hosting.Web;

/// <summary>The one table from a problem's type to its HTTP status and title. Every 4xx and 5xx of the server goes through it.</summary>
internal static class Problems
{
    private static readonly FrozenDictionary<string, (int Status, string Title)> s_table = new Dictionary<string, (int, string)>
    {
        [ProblemTypes.InvalidInput] = (400, "The input is not valid"),
        [ProblemTypes.MalformedRequest] = (400, "The request cannot be read"),
        [ProblemTypes.Unauthorized] = (401, "An API key is needed"),
        [ProblemTypes.Forbidden] = (403, "The API key does not allow this"),
        [ProblemTypes.ForeignOrigin] = (403, "The request comes from a foreign site"),
        [ProblemTypes.UnknownModel] = (404, "There is no such model"),
        [ProblemTypes.NotFound] = (404, "Not found"),
        [ProblemTypes.MethodNotAllowed] = (405, "The method is not allowed here"),
        [ProblemTypes.RequestTimeout] = (408, "The request came too slowly"),
        [ProblemTypes.AlreadyEnded] = (409, "The job has already ended"),
        [ProblemTypes.NotReady] = (409, "The job has not ended yet"),
        [ProblemTypes.NoResult] = (409, "The job ended without a result"),
        [ProblemTypes.Gone] = (410, "No longer kept"),
        [ProblemTypes.TooLarge] = (413, "Too large"),
        [ProblemTypes.UnsupportedMediaType] = (415, "Unsupported media type"),
        [ProblemTypes.RangeNotSatisfiable] = (416, "The range lies outside of the content"),
        [ProblemTypes.IdempotencyMismatch] = (422, "The idempotency key was used for another request"),
        [ProblemTypes.QueueFull] = (429, "The queue is full"),
        [ProblemTypes.RateLimited] = (429, "Too many attempts"),
        [ProblemTypes.RuntimeFailed] = (500, "The model failed"),
        [ProblemTypes.RuntimeCrashed] = (500, "The model's process ended during the call"),
        [ProblemTypes.AttemptsExhausted] = (500, "Every attempt failed"),
        [ProblemTypes.Internal] = (500, "Something went wrong in the server"),
        [ProblemTypes.ModelUnavailable] = (503, "The model cannot be used"),
        [ProblemTypes.ShuttingDown] = (503, "The server is shutting down"),
        [ProblemTypes.StorageUnavailable] = (503, "The database is away"),
        [ProblemTypes.RuntimeDeadline] = (504, "The model did not answer in time"),
        [ProblemTypes.StorageFull] = (507, "The disk is full"),
    }.ToFrozenDictionary();

    public static IEnumerable<string> Types => s_table.Keys;

    public static int Status(string type) => s_table[type].Status;

    /// <param name="type">One of <see cref="ProblemTypes"/>.</param>
    /// <param name="detail">What is wrong here and the cure.</param>
    /// <param name="errors">Wrong fields: path → what is wrong and the cure.</param>
    public static Problem Of(string type, string detail, IReadOnlyDictionary<string, string>? errors = null)
    {
        var (status, title) = s_table[type];
        return new Problem { Type = type, Title = title, Status = status, Detail = detail, Errors = errors };
    }

    /// <summary>A problem of one field.</summary>
    public static Problem Field(string type, string field, string message) =>
        Of(type, $"{field}: {message}", new Dictionary<string, string> { [field] = message });

    /// <summary>Several wrong fields of one request, all at once.</summary>
    public static Problem Fields(IReadOnlyDictionary<string, string> errors) => Of(
        ProblemTypes.InvalidInput,
        string.Join("; ", errors.Select(e => $"{e.Key}: {e.Value}")),
        errors);

    /// <summary>For statuses that the framework sets without a body (routing, Kestrel).</summary>
    public static Problem OfStatus(int status, string path) => status switch
    {
        StatusCodes.Status404NotFound => Of(ProblemTypes.NotFound, $"nothing is at {path}; /docs lists what there is"),
        StatusCodes.Status405MethodNotAllowed => Of(ProblemTypes.MethodNotAllowed, "the Allow header lists the methods that work here"),
        StatusCodes.Status408RequestTimeout => Of(ProblemTypes.RequestTimeout, "the body arrived below the least rate; send it again over a better line"),
        StatusCodes.Status413PayloadTooLarge => Of(ProblemTypes.TooLarge, "the body is larger than the server takes (input.maxBytes)"),
        StatusCodes.Status415UnsupportedMediaType => Field(ProblemTypes.UnsupportedMediaType, "Content-Type", "must be application/json, or multipart/form-data where files are sent"),
        StatusCodes.Status416RangeNotSatisfiable => Of(ProblemTypes.RangeNotSatisfiable, "ask for a range inside Content-Range"),
        >= 500 => Of(ProblemTypes.Internal, "the request failed; the server's log says why"),
        _ => Of(ProblemTypes.MalformedRequest, "the request cannot be read as HTTP") with { Status = status },
    };
}
