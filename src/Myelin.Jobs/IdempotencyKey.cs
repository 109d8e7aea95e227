using Myelin.Hosting.Web;

namespace Myelin.Jobs;

/// <summary>
/// An idempotency key as its sender wrote it. Each way in has a name space of its own, told by a prefix of what is
/// stored: a request's key that begins like another's is stored behind a character that no sender can write.
/// </summary>
/// <param name="Field">What the sender calls it.</param>
/// <param name="Text">1 to <see cref="Limits.KeyLength"/> printable ASCII characters, or <see cref="Wrong"/>.</param>
internal sealed record IdempotencyKey(string Field, string Text, string Prefix)
{
    private const string Header = "Idempotency-Key";
    private const string Messages = "kafka:";
    private const string Tasks = "sdapi-";
    private const string Escape = "\u001f";

    /// <summary>The header of a request over HTTP; null where it has none. Every way in over HTTP reads it here.</summary>
    public static bool TryRead(HttpRequest request, out IdempotencyKey? key, out ProblemResult? refusal)
    {
        var keys = request.Headers[Header];
        key = keys is [{ } text] ? OfRequest(text) : null;
        refusal = keys.Count > 1 ? new ProblemResult(Problems.Field(ProblemTypes.InvalidInput, Header, "is there twice; send one")) : null;
        return refusal is null;
    }

    private static IdempotencyKey OfRequest(string text) => new(
        Header, text, text.StartsWith(Messages, StringComparison.Ordinal) || text.StartsWith(Tasks, StringComparison.Ordinal) ? Escape : "");

    /// <summary>A message of <see cref="Hosting.Bus.Topics.JobsIn"/>.</summary>
    public static IdempotencyKey OfMessage(string text) => new(Header, text, Messages);

    /// <summary>A task of the AUTOMATIC1111 API.</summary>
    public static IdempotencyKey OfTask(string text) => new("force_task_id", text, Tasks);

    /// <summary>The key that the sender of a message knows its job by; null for a job that came otherwise.</summary>
    public static string? Message(JobRecord job) =>
        job.IdempotencyKey?.StartsWith(Messages, StringComparison.Ordinal) == true ? job.IdempotencyKey[Messages.Length..] : null;

    public string Stored => Prefix + Text;

    /// <summary>What is wrong with it and the cure; null for a good one.</summary>
    public string? Wrong => Text.Length is 0 or > Limits.KeyLength || Text.Any(c => c is < ' ' or > '~')
        ? $"must have 1 to {Limits.KeyLength} printable ASCII characters"
        : null;
}
