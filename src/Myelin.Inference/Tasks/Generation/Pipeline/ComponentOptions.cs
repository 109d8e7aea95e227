namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>How long a pipeline's networks stay loaded.</summary>
internal sealed record ComponentOptions
{
    /// <summary>Bytes of weights that may be loaded at a time. One network always may, or nothing could run.</summary>
    public long MemoryBudget { get; init; } = 16L << 30;

    /// <summary>A network that nobody used for so long is released.</summary>
    public TimeSpan IdleRelease { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Calls of one network at a time; the others wait in line, where a cancel reaches them.</summary>
    public int Instances { get; init; } = 1;
}
