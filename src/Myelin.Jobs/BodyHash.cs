using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;

namespace Myelin.Jobs;

/// <summary>SHA-256 of what a submission says: tells a repeat from a mistaken reuse of its idempotency key.</summary>
internal static class BodyHash
{
    public static string Of(JobSubmission submission, ImmutableArray<JobArtifact> inputs)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Add(hash, submission.Model);
        Add(hash, submission.Priority.ToString());
        Add(hash, submission.Key);
        Add(hash, submission.Deadline?.ToString("O"));
        Add(hash, submission.Callback?.Url);
        Add(hash, submission.Callback?.Secret);
        AddBytes(hash, submission.Parameters.Span);
        foreach (var input in inputs)
        {
            Add(hash, input.Name);
            Add(hash, input.ContentType);
            Add(hash, input.Sha256);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void Add(IncrementalHash hash, string? text) => AddBytes(hash, text is null ? [] : Encoding.UTF8.GetBytes(text));

    /// <summary>With its length, so that neighbours cannot be shifted into each other.</summary>
    private static void AddBytes(IncrementalHash hash, ReadOnlySpan<byte> bytes)
    {
        hash.AppendData(BitConverter.GetBytes(bytes.Length));
        hash.AppendData(bytes);
    }
}
