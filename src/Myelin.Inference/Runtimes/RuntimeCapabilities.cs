namespace Myelin.Inference.Runtimes;

/// <summary>What a runtime can do.</summary>
/// <param name="Transport"><c>native</c>, <c>uds</c> or <c>http</c>.</param>
/// <param name="Concurrency">Calls that are computed at the same time; further ones wait their turn.</param>
/// <param name="Progress">Calls report progress while they run.</param>
/// <param name="Cancel">A cancelled call stops computing, not only waiting.</param>
/// <param name="Task">
/// One of <see cref="Models.TaskNames"/> where the other side does the whole task and not only the network: input files
/// are UINT8 tensors by part name and <c>parameters</c> a UINT8 tensor of JSON; outputs are <c>result</c> (JSON) and one
/// UINT8 tensor per artifact, named as its file. Null for a network as it is.
/// </param>
public sealed record RuntimeCapabilities(string Transport, int Concurrency, bool Progress, bool Cancel, string? Task = null);

/// <summary>Counters of one runtime since its start.</summary>
/// <param name="Calls">Calls that ended well.</param>
/// <param name="Failures">Calls that ended in a fault.</param>
/// <param name="Cancelled">Calls that their caller cancelled.</param>
/// <param name="Running">Calls under way, waiting ones included.</param>
/// <param name="Compute">Time spent computing, summed over the calls that ended well, as the executing side measured it.</param>
public readonly record struct RuntimeStatistics(long Calls, long Failures, long Cancelled, int Running, TimeSpan Compute);

/// <summary>How far a call has come.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Steps">Steps in all.</param>
/// <param name="Preview">A small JPEG of what there is so far, or empty. The receiver may keep it.</param>
public sealed record RuntimeProgress(int Step, int Steps, ReadOnlyMemory<byte> Preview = default);
