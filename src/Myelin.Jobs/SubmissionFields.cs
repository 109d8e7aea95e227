using System.Globalization;

namespace Myelin.Jobs;

/// <summary>The small fields of a submission, the same in JSON and multipart.</summary>
internal static class SubmissionFields
{
    public const int LongestText = 4096;
    private const int MostParts = 32;

    public static readonly string[] Names = ["model", "input", "parameters", "priority", "key", "deadline", "callback"];

    public static void Priority(string? text, SubmissionDraft draft)
    {
        switch (text)
        {
            case null or "normal": break;
            case "high": draft.Priority = JobPriority.High; break;
            case "low": draft.Priority = JobPriority.Low; break;
            default: draft.Errors.Add("priority", "must be high, normal or low"); break;
        }
    }

    public static void Key(string? text, SubmissionDraft draft)
    {
        if (text is { Length: 0 or > Limits.KeyLength })
        {
            draft.Errors.Add("key", $"must have 1 to {Limits.KeyLength} characters, and has {text.Length}");
        }
        else
        {
            draft.Key = text;
        }
    }

    public static void Deadline(string? text, SubmissionDraft draft)
    {
        if (text is null)
        {
            return;
        }

        if (DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var deadline)
            && text.Contains('T', StringComparison.OrdinalIgnoreCase))
        {
            draft.Deadline = deadline;
        }
        else
        {
            draft.Errors.Add("deadline", "must be an ISO 8601 time such as 2030-01-31T12:00:00Z");
        }
    }

    public static void AddPart(SubmissionPart part, SubmissionDraft draft)
    {
        if (draft.Parts.Count == MostParts)
        {
            draft.Errors.Add("input", $"has more than {MostParts} parts");
        }
        else if (draft.Parts.Exists(p => p.Name == part.Name))
        {
            draft.Errors.Add("input." + Shown(part.Name), "is there twice");
        }
        else
        {
            draft.Parts.Add(part);
        }
    }

    public static void Unknown(string name, SubmissionDraft draft) =>
        draft.Errors.Add(Shown(name), $"is no field of a submission; there are {string.Join(", ", Names)}");

    /// <summary>A name from outside, short enough to be repeated in an answer.</summary>
    public static string Shown(string name) => name.Length <= 64 ? name : name[..64] + "…";
}
