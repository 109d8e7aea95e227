using System.Text.Json;

namespace Myelin.Protocol.Sidecars;

/// <summary>The payload of ERROR.</summary>
/// <param name="Code">One of <see cref="SidecarErrors"/>; an unknown one means <c>failed</c>.</param>
/// <param name="Message">For a person.</param>
/// <param name="Retryable">The same call may succeed on another attempt.</param>
public sealed record SidecarError(string Code, string? Message = null, bool Retryable = false)
{
    /// <summary>Longest message that is written; six bytes of JSON per character fit the limit.</summary>
    private const int MessageCharacters = (SidecarLimits.Json - 256) / 6;

    /// <exception cref="BadFrameException">It is no JSON object with a code.</exception>
    public static SidecarError Read(ReadOnlySpan<byte> payload)
    {
        var error = SidecarJson.Read(payload, SidecarJsonContext.Default.SidecarError, "ERROR");
        return error.Code is { Length: > 0 } ? error : throw new BadFrameException("ERROR: no code");
    }

    /// <summary>The JSON, its message cut where it would be too long.</summary>
    public byte[] Write()
    {
        var cut = Message is { Length: > MessageCharacters } ? this with { Message = Message[..MessageCharacters] + "…" } : this;
        return JsonSerializer.SerializeToUtf8Bytes(cut, SidecarJsonContext.Default.SidecarError);
    }
}

/// <summary>Codes of <see cref="SidecarError"/>.</summary>
public static class SidecarErrors
{
    public const string BadFrame = "bad-frame";
    public const string VersionMismatch = "version-mismatch";
    public const string LoadFailed = "load-failed";
    public const string UnknownModel = "unknown-model";
    public const string BadInput = "bad-input";
    public const string Failed = "failed";
    public const string Cancelled = "cancelled";
    public const string Deadline = "deadline";
    public const string Overloaded = "overloaded";
    public const string TooLarge = "too-large";
    public const string Draining = "draining";
    public const string OutOfMemory = "out-of-memory";

    /// <summary>Never sent: what each side reports when the stream ends.</summary>
    public const string ConnectionLost = "connection-lost";
}
