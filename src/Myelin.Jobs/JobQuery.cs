using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Myelin.Hosting.Web;
using Myelin.Inference.Models;

namespace Myelin.Jobs;

/// <summary>Query parameters of the job calls; a wrong one is a problem that names it.</summary>
internal static class JobQuery
{
    public static bool TryWait(HttpRequest request, out TimeSpan wait, out ProblemResult? refusal)
    {
        (wait, refusal) = (TimeSpan.Zero, null);
        if (request.Query["wait"] is not [{ Length: > 0 } text])
        {
            return true;
        }

        if ((double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds) && seconds >= 0
            ? TimeSpan.FromSeconds(Math.Min(seconds, Limits.Wait.TotalSeconds))
            : Durations.Parse(text)) is not { } asked)
        {
            refusal = Wrong("wait", "must be a duration such as 500ms, 30s, 1m or a number of seconds");
            return false;
        }

        wait = asked < Limits.Wait ? asked : Limits.Wait;
        return true;
    }

    public static bool TryLimit(HttpRequest request, out int limit, out ProblemResult? refusal)
    {
        (limit, refusal) = (20, null);
        if (request.Query["limit"] is not [{ } text]
            || (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out limit) && limit is >= 1 and <= Limits.PageSize))
        {
            return true;
        }

        refusal = Wrong("limit", $"must be a whole number from 1 to {Limits.PageSize}");
        return false;
    }

    public static bool TryState(HttpRequest request, out JobState? state, out ProblemResult? refusal)
    {
        (state, refusal) = (null, null);
        if (request.Query["state"] is not [{ } text])
        {
            return true;
        }

        foreach (var candidate in Enum.GetValues<JobState>())
        {
            if (string.Equals(candidate.ToString(), text, StringComparison.OrdinalIgnoreCase))
            {
                state = candidate;
                return true;
            }
        }

        refusal = Wrong("state", $"must be one of {string.Join(", ", Enum.GetNames<JobState>().Select(n => n.ToLowerInvariant()))}");
        return false;
    }

    public static bool TryModel(HttpRequest request, out string? model, out ProblemResult? refusal)
    {
        model = request.Query["model"] is [{ Length: > 0 } name] ? name : null;
        refusal = model?.Contains('\0', StringComparison.Ordinal) == true ? Wrong("model", SubmissionCheck.NoNul) : null;
        return refusal is null;
    }

    public static bool TryCursor(HttpRequest request, out string? before, out ProblemResult? refusal)
    {
        (before, refusal) = (null, null);
        if (request.Query["cursor"] is not [{ Length: > 0 } text])
        {
            return true;
        }

        Span<byte> id = stackalloc byte[64];
        if (text.Length <= 64 && TryDecode(text, id, out var length))
        {
            before = Encoding.ASCII.GetString(id[..length]);
            if (JobIds.IsValid(before))
            {
                return true;
            }
        }

        refusal = Wrong("cursor", "is not one of this server; take nextCursor of the page before");
        return false;
    }

    /// <summary>Opaque to callers, so that it may come to hold more than an id.</summary>
    public static string Cursor(string id) => Base64Url.EncodeToString(Encoding.ASCII.GetBytes(id));

    private static bool TryDecode(string text, Span<byte> id, out int length)
    {
        length = 0;
        return Base64Url.IsValid(text) && Base64Url.TryDecodeFromChars(text, id, out length);
    }

    private static ProblemResult Wrong(string name, string message) => new(Problems.Field(ProblemTypes.InvalidInput, name, message));
}
