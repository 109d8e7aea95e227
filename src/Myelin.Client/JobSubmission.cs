using System.Text.Json;

namespace Myelin.Client;

/// <summary>A job whose inputs are files, sent as multipart without being held in memory.</summary>
public sealed record JobSubmission(string Model)
{
    public IReadOnlyList<JobFile> Files { get; init; } = [];

    /// <summary>A JSON object; see the model's <see cref="Protocol.Model.Parameters"/>.</summary>
    public JsonElement? Parameters { get; init; }

    public JobPriority? Priority { get; init; }

    /// <summary>Jobs of one tenant with the same key run one at a time in the order of acceptance.</summary>
    public string? Key { get; init; }

    /// <summary>A job not started by then becomes <c>expired</c>.</summary>
    public DateTimeOffset? Deadline { get; init; }

    public JobCallback? Callback { get; init; }
}

/// <summary>One file part.</summary>
/// <param name="Name">Name of the model's input, such as <c>image</c>.</param>
/// <param name="Content">
/// Read from its position to its end and left open. Only a stream that can seek is sent again after a dropped connection.
/// </param>
/// <param name="ContentType">MIME type; the server trusts only the bytes.</param>
/// <param name="FileName">For the server's messages.</param>
public sealed record JobFile(string Name, Stream Content, string ContentType = "application/octet-stream", string? FileName = null);

/// <summary>Bytes moved so far.</summary>
/// <param name="Total">Null where the length is not known.</param>
public readonly record struct TransferProgress(long Bytes, long? Total);

/// <summary>Which jobs to list.</summary>
public sealed record JobQuery
{
    public string? Model { get; init; }

    public JobState? State { get; init; }
}
