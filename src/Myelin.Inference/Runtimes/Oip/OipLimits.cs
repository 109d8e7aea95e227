namespace Myelin.Inference.Runtimes.Oip;

/// <summary>What one message may hold. Checked before anything is allocated for it.</summary>
public sealed record OipLimits
{
    /// <summary>Most tensors of a message.</summary>
    public const int MaxTensors = 64;

    /// <summary>Most dimensions of a tensor.</summary>
    public const int MaxRank = 8;

    /// <summary>Deepest nesting of JSON, <c>data</c> included.</summary>
    public const int MaxDepth = Limits.JsonDepth;

    /// <summary>Most bytes of JSON in a message: the head of a binary one, all of another. Reading it takes some five times this memory.</summary>
    public int MaxJsonBytes { get; init; } = 64 << 20;

    /// <summary>Most bytes of a message in all; at most 2,147,483,591, what one block of memory can hold.</summary>
    public long MaxBytes { get; init; } = 1 << 30;
}
