namespace Myelin.Jobs;

internal enum PartForm
{
    /// <summary>Raw bytes: a multipart part.</summary>
    Bytes,

    /// <summary>One JSON value as it stood in the body.</summary>
    Json,
}

/// <param name="ContentType">As declared; null where the form declares none.</param>
internal sealed record SubmissionPart(string Name, PartForm Form, string? ContentType, Memory<byte> Content);

/// <summary>
/// What a body says, before the model's contract is asked. Its memory is rented and goes back with <see cref="Dispose"/>:
/// the parts live no longer than the draft.
/// </summary>
internal sealed class SubmissionDraft : IDisposable
{
    private readonly List<IDisposable> _owned = [];

    public SubmissionErrors Errors { get; } = new();

    public string? Model { get; set; }

    /// <summary>A JSON object, or nothing.</summary>
    public ReadOnlyMemory<byte> Parameters { get; set; }

    public JobPriority Priority { get; set; } = JobPriority.Normal;

    public string? Key { get; set; }

    public DateTimeOffset? Deadline { get; set; }

    public string? CallbackUrl { get; set; }

    public string? CallbackSecret { get; set; }

    public List<SubmissionPart> Parts { get; } = [];

    /// <summary>Disposes <paramref name="resource"/> with the draft.</summary>
    public void Own(IDisposable resource) => _owned.Add(resource);

    public void Dispose()
    {
        foreach (var resource in _owned)
        {
            resource.Dispose();
        }

        _owned.Clear();
    }
}
