using System.Buffers;
using System.Buffers.Text;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Microsoft.Net.Http.Headers;
using Myelin.Hosting.Configuration;
using Myelin.Inference;
using Myelin.Inference.Imaging;

namespace Myelin.Jobs;

/// <summary>Turns a part, in whatever form it came, into the bytes that are stored; wrong ones go to the draft's errors.</summary>
internal sealed class SubmissionParts(InputFetcher fetcher, MyelinOptions options)
{
    private readonly ImagingLimits _limits = new() { MaxBytes = options.Input.MaxBytes, MaxMegapixels = options.Input.MaxMegapixels };

    public async ValueTask<SubmittedFile?> ReadAsync(SubmissionPart part, ModelInput spec, SubmissionDraft draft, CancellationToken cancellationToken)
    {
        var field = "input." + part.Name;
        try
        {
            if (spec.Kind == "json")
            {
                return ReadJson(part, field);
            }

            var content = part.Form == PartForm.Bytes
                ? new Content(part.ContentType, part.Content)
                : await DecodeAsync(part.Content, field, draft, cancellationToken);
            if (content is null)
            {
                return null;
            }

            return spec.Kind == "file"
                ? new SubmittedFile(part.Name, content.DeclaredType ?? "application/octet-stream", Stream(content.Bytes))
                : ReadPicture(part.Name, field, content);
        }
        catch (InputException e)
        {
            draft.Errors.Add(await e.ExplainedAsync(cancellationToken));
            return null;
        }
    }

    private static SubmittedFile ReadJson(SubmissionPart part, string field)
    {
        if (part.Form == PartForm.Bytes)
        {
            if (SubmissionJson.Check(part.Content) is { } problem)
            {
                throw new InputException(field, problem.Detail!);
            }

            if (SubmissionJson.FindNul(part.Content.Span, field) is not null)
            {
                throw new InputException(field, SubmissionCheck.NoNul);
            }
        }

        return new SubmittedFile(part.Name, "application/json", Stream(part.Content));
    }

    private SubmittedFile ReadPicture(string name, string field, Content content)
    {
        var header = PictureHeader.Read(content.Bytes, _limits, field);
        var found = header.Format.ContentType();
        if (content.DeclaredType is { } declared && !Agrees(declared, found))
        {
            throw new InputException(field, $"is declared as {SubmissionFields.Shown(declared)} and is {found}; declare what it is", InputErrorCode.UnsupportedMediaType);
        }

        if (header.Format == PictureFormat.Jpeg && content.Bytes.Span.LastIndexOf<byte>([0xFF, 0xD9]) < 0)
        {
            throw new InputException(field, "the JPEG breaks off: its end marker is missing; send the whole file");
        }

        return new SubmittedFile(name, found, Stream(content.Bytes));
    }

    /// <summary>A picture in JSON: base64, a data URL, or an address where those are allowed.</summary>
    private async ValueTask<Content?> DecodeAsync(Memory<byte> json, string field, SubmissionDraft draft, CancellationToken cancellationToken)
    {
        if (Url(json.Span) is { } url)
        {
            return await fetcher.FetchAsync(url, field, draft, cancellationToken) is var (type, bytes) ? new Content(type, bytes) : null;
        }

        if (json.Span[0] != (byte)'"')
        {
            throw new InputException(field, "must be the file as base64 text or a data: URL");
        }

        return Decode(Unescape(json, draft), field);
    }

    private static Content Decode(Memory<byte> text, string field)
    {
        string? type = null;
        if (text.Span.StartsWith("data:"u8))
        {
            var comma = text.Span.IndexOf((byte)',');
            var head = comma < 0 ? "" : Encoding.UTF8.GetString(text.Span[5..Math.Min(comma, 205)]);
            if (!head.EndsWith(";base64", StringComparison.OrdinalIgnoreCase))
            {
                throw new InputException(field, "is a data URL without ';base64,'; send data:image/jpeg;base64,…");
            }

            type = head.Split(';')[0];
            text = text[(comma + 1)..];
        }

        // In place: the decoded bytes are shorter than the text, and the body belongs to this request.
        var status = text.Span.IndexOfAny((byte)'-', (byte)'_') >= 0
            ? DecodeUrlSafe(text.Span, out var written)
            : Base64.DecodeFromUtf8InPlace(text.Span, out written);
        return status == OperationStatus.Done && written > 0
            ? new Content(type, text[..written])
            : throw new InputException(field, "is not base64; send the file's bytes in base64, or the file itself as multipart/form-data");
    }

    private static OperationStatus DecodeUrlSafe(Span<byte> text, out int written)
    {
        try
        {
            written = Base64Url.DecodeFromUtf8InPlace(text);
            return OperationStatus.Done;
        }
        catch (FormatException)
        {
            written = 0;
            return OperationStatus.InvalidData;
        }
    }

    private static string? Url(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        reader.Read();
        if (reader.TokenType == JsonTokenType.String && !reader.ValueIsEscaped)
        {
            return reader.ValueSpan.StartsWith("http://"u8) || reader.ValueSpan.StartsWith("https://"u8)
                ? Encoding.UTF8.GetString(reader.ValueSpan[..Math.Min(reader.ValueSpan.Length, 4096)])
                : null;
        }

        if (reader.TokenType != JsonTokenType.StartObject)
        {
            return null;
        }

        return reader.Read() && reader.TokenType == JsonTokenType.PropertyName && reader.ValueTextEquals("url"u8)
            && reader.Read() && reader.TokenType == JsonTokenType.String ? reader.GetString() : null;
    }

    // Most writers of JSON leave base64 alone, some write \/ for every slash.
    private static Memory<byte> Unescape(Memory<byte> json, SubmissionDraft draft)
    {
        var reader = new Utf8JsonReader(json.Span);
        reader.Read();
        if (!reader.ValueIsEscaped)
        {
            return json[1..^1];
        }

        var text = new RentedBytes(json.Length);
        draft.Own(text);
        text.Advance(reader.CopyString(text.Free(json.Length).Span));
        return text.Memory;
    }

    private static bool Agrees(string declared, string found)
    {
        if (!MediaTypeHeaderValue.TryParse(declared, out var type))
        {
            return false;
        }

        var media = type.MediaType.Value?.ToLowerInvariant();
        return media == found || media is "application/octet-stream" or "image/*" || (media == "image/jpg" && found == "image/jpeg");
    }

    private static MemoryStream Stream(Memory<byte> bytes) =>
        MemoryMarshal.TryGetArray<byte>(bytes, out var array)
            ? new MemoryStream(array.Array!, array.Offset, array.Count, writable: false)
            : new MemoryStream(bytes.ToArray(), writable: false);

    private sealed record Content(string? DeclaredType, Memory<byte> Bytes);
}
