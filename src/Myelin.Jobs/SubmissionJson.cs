using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using Myelin.Hosting.Web;

namespace Myelin.Jobs;

/// <summary>
/// The JSON form of a submission, read in one pass over the body. Inputs and parameters are kept as slices of it: a
/// picture in base64 is never turned into a string.
/// </summary>
internal static class SubmissionJson
{
    private static readonly SubmissionDraft s_nothing = new();
    private static readonly JsonReaderOptions s_options = new() { MaxDepth = Limits.JsonDepth, CommentHandling = JsonCommentHandling.Disallow };

    /// <returns>Why the body cannot be read; wrong fields go to the draft's errors.</returns>
    public static Problem? Parse(Memory<byte> body, SubmissionDraft draft) => Guard(body, draft, "", static (body, draft) => Read(body, draft));

    /// <summary>The field <c>parameters</c> of a form.</summary>
    public static Problem? ParseParameters(Memory<byte> field, SubmissionDraft draft) => Guard(field, draft, "parameters: ", static (field, draft) =>
    {
        var reader = new Utf8JsonReader(field.Span, s_options);
        ReadParameters(ref reader, field, draft);
        reader.Read();
    });

    /// <summary>The field <c>callback</c> of a form, where it is JSON.</summary>
    public static Problem? ParseCallback(Memory<byte> field, SubmissionDraft draft) => Guard(field, draft, "callback: ", static (field, draft) =>
    {
        var reader = new Utf8JsonReader(field.Span, s_options);
        ReadCallback(ref reader, draft);
        reader.Read();
    });

    /// <summary>Why bytes are no JSON that may be kept; null when they are.</summary>
    public static Problem? Check(Memory<byte> json) => Guard(json, s_nothing, "", static (json, _) =>
    {
        var reader = new Utf8JsonReader(json.Span, s_options);
        while (reader.Read())
        {
        }
    });

    /// <summary>Where a text of JSON that was read before holds U+0000, as <paramref name="field"/> or a member of it; null where none does.</summary>
    public static string? FindNul(ReadOnlySpan<byte> json, string field)
    {
        if (json.IndexOf(@"\u0000"u8) < 0)
        {
            return null; // JSON has no other way to write it
        }

        var reader = new Utf8JsonReader(json, s_options);
        var member = field;
        while (reader.Read())
        {
            if (reader.TokenType is not (JsonTokenType.String or JsonTokenType.PropertyName))
            {
                continue;
            }

            var text = reader.GetString()!;
            var holds = text.Contains('\0', StringComparison.Ordinal);
            if (reader.TokenType == JsonTokenType.PropertyName && reader.CurrentDepth == 1)
            {
                member = holds ? field : $"{field}.{SubmissionFields.Shown(text)}";
            }

            if (holds)
            {
                return member;
            }
        }

        return null;
    }

    private static Problem? Guard(Memory<byte> json, SubmissionDraft draft, string where, Action<Memory<byte>, SubmissionDraft> read)
    {
        try
        {
            if (CheckText(json.Span) is { } problem)
            {
                return problem;
            }

            read(json, draft);
            return null;
        }
        catch (JsonException e)
        {
            var problem = JsonFault.ToProblem(e);
            return problem with { Detail = where + problem.Detail };
        }
        catch (InvalidOperationException)
        {
            // The reader's word for half a surrogate pair in an escape; raw text has been checked.
            return Problems.Of(ProblemTypes.MalformedRequest, where + @"a text holds half of a surrogate pair (\ud800 to \udfff); send both halves or the character itself");
        }
    }

    private static Problem? CheckText(ReadOnlySpan<byte> body)
    {
        if (!Utf8.IsValid(body))
        {
            return Problems.Of(ProblemTypes.MalformedRequest, $"the body is not UTF-8 (from byte {FirstInvalid(body) + 1}); encode it so");
        }

        // Rare, and checked here once, so that no later reading of a slice meets it.
        if (body.IndexOf(@"\ud"u8) >= 0 || body.IndexOf(@"\uD"u8) >= 0)
        {
            var reader = new Utf8JsonReader(body, s_options);
            while (reader.Read())
            {
                if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && reader.ValueIsEscaped)
                {
                    reader.GetString();
                }
            }
        }

        return null;
    }

    private static int FirstInvalid(ReadOnlySpan<byte> body)
    {
        var at = 0;
        while (Rune.DecodeFromUtf8(body[at..], out _, out var length) == System.Buffers.OperationStatus.Done)
        {
            at += length;
        }

        return at;
    }

    private static void Read(Memory<byte> body, SubmissionDraft draft)
    {
        var reader = new Utf8JsonReader(body.Span, s_options);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            draft.Errors.Add("body", "must be a JSON object such as {\"model\": \"faces\", \"input\": {\"image\": \"<base64>\"}}", ProblemTypes.MalformedRequest);
            reader.Skip();
            reader.Read();
            return;
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("model"u8))
            {
                draft.Model = Text(ref reader, "model", draft);
            }
            else if (reader.ValueTextEquals("input"u8))
            {
                ReadInput(ref reader, body, draft);
            }
            else if (reader.ValueTextEquals("parameters"u8))
            {
                ReadParameters(ref reader, body, draft);
            }
            else if (reader.ValueTextEquals("priority"u8))
            {
                SubmissionFields.Priority(Text(ref reader, "priority", draft), draft);
            }
            else if (reader.ValueTextEquals("key"u8))
            {
                SubmissionFields.Key(Text(ref reader, "key", draft), draft);
            }
            else if (reader.ValueTextEquals("deadline"u8))
            {
                SubmissionFields.Deadline(Text(ref reader, "deadline", draft), draft);
            }
            else if (reader.ValueTextEquals("callback"u8))
            {
                ReadCallback(ref reader, draft);
            }
            else
            {
                SubmissionFields.Unknown(reader.GetString()!, draft);
                reader.Read();
                reader.Skip();
            }
        }

        reader.Read(); // throws where something follows the object
    }

    private static void ReadInput(ref Utf8JsonReader reader, Memory<byte> body, SubmissionDraft draft)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            if (reader.TokenType != JsonTokenType.Null)
            {
                draft.Errors.Add("input", "must be an object of parts by name, such as {\"image\": \"<base64>\"}");
            }

            reader.Skip();
            return;
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = reader.GetString()!;
            SubmissionFields.AddPart(new SubmissionPart(name, PartForm.Json, null, Slice(ref reader, body)), draft);
        }
    }

    private static void ReadParameters(ref Utf8JsonReader reader, Memory<byte> body, SubmissionDraft draft)
    {
        var slice = Slice(ref reader, body);
        switch (slice.Span[0])
        {
            case (byte)'{':
                draft.Parameters = slice;
                break;
            case (byte)'n': // null: none
                break;
            default:
                draft.Errors.Add("parameters", "must be a JSON object of names and values");
                break;
        }
    }

    private static void ReadCallback(ref Utf8JsonReader reader, SubmissionDraft draft)
    {
        reader.Read();
        if (reader.TokenType == JsonTokenType.Null)
        {
            return;
        }

        if (reader.TokenType != JsonTokenType.StartObject)
        {
            draft.Errors.Add("callback", "must be an object: {\"url\": \"https://…\", \"secret\": \"…\"}");
            reader.Skip();
            return;
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("url"u8))
            {
                draft.CallbackUrl = Text(ref reader, "callback.url", draft);
            }
            else if (reader.ValueTextEquals("secret"u8))
            {
                draft.CallbackSecret = Text(ref reader, "callback.secret", draft);
            }
            else
            {
                draft.Errors.Add("callback." + SubmissionFields.Shown(reader.GetString()!), "is no field of a callback; there are url and secret");
                reader.Read();
                reader.Skip();
            }
        }

        if (draft.CallbackUrl is null)
        {
            draft.Errors.Add("callback.url", "is required in a callback");
        }
    }

    private static Memory<byte> Slice(ref Utf8JsonReader reader, Memory<byte> body)
    {
        reader.Read();
        var start = (int)reader.TokenStartIndex;
        reader.Skip();
        return body[start..(int)reader.BytesConsumed];
    }

    private static string? Text(ref Utf8JsonReader reader, string field, SubmissionDraft draft)
    {
        reader.Read();
        switch (reader.TokenType)
        {
            case JsonTokenType.String when reader.ValueSpan.Length <= SubmissionFields.LongestText:
                return reader.GetString();
            case JsonTokenType.Null:
                return null;
            case JsonTokenType.String:
                draft.Errors.Add(field, $"has more than {SubmissionFields.LongestText} bytes");
                return null;
            default:
                draft.Errors.Add(field, "must be text");
                reader.Skip();
                return null;
        }
    }
}
