namespace Myelin.Inference.Runtimes.Onnx;

/// <summary>How native sessions run. Immutable; one value for the process, <c>with</c> for one model.</summary>
public sealed record OnnxOptions
{
    /// <summary>The environment variable that names another <c>libonnxruntime.so</c>, such as a CUDA build.</summary>
    public const string LibraryVariable = "MYELIN_ONNXRUNTIME_LIBRARY";

    /// <summary>Threads that share one operator. 0: one per physical core.</summary>
    public int IntraOpThreads { get; init; } = 1;

    /// <summary>Threads that run independent branches of a graph; above 1 the graph is executed in parallel mode.</summary>
    public int InterOpThreads { get; init; } = 1;

    /// <summary>Idle threads spin instead of sleeping: a little faster alone, costly beside anything else.</summary>
    public bool Spinning { get; init; }

    /// <summary>Rewrite the graph at load: fusions, constant folding, layout.</summary>
    public bool OptimiseGraph { get; init; } = true;

    /// <summary>Calls of one network that may run at the same time; <c>instances.count</c> of <c>model.yaml</c>.</summary>
    public int Instances { get; init; } = 1;

    /// <summary><c>cpu</c>, <c>cuda</c> or <c>cuda:1</c>; <c>instances.device</c> of <c>model.yaml</c>. CUDA needs a library that was built with it.</summary>
    public string Device { get; init; } = "cpu";

    /// <summary>Calls that may wait for an instance; a further caller waits for a place in the queue.</summary>
    public int MaxWaiting { get; init; } = 1024;

    /// <summary>What <see cref="LibraryVariable"/> names, or null for the library beside the program.</summary>
    public static string? Library => Environment.GetEnvironmentVariable(LibraryVariable) is { Length: > 0 } path ? path : null;
}
