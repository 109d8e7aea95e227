namespace Myelin.Protocol.Sidecars;

/// <summary>The payload of READY.</summary>
public sealed record Ready(IReadOnlyList<ReadyModel> Models)
{
    /// <exception cref="BadFrameException">It is no list of 1 to 256 models with names.</exception>
    public static Ready Read(ReadOnlySpan<byte> payload)
    {
        var ready = SidecarJson.Read(payload, SidecarJsonContext.Default.Ready, "READY");
        if (ready.Models is not { Count: >= 1 and <= SidecarLimits.Models } models)
        {
            throw new BadFrameException($"READY: 1 to {SidecarLimits.Models} models");
        }

        foreach (var model in models)
        {
            if (model is not { Name.Length: > 0, Concurrency: >= 1 } || !AreKnown(model.Inputs) || !AreKnown(model.Outputs))
            {
                throw new BadFrameException("READY: a model without a name, with a concurrency below 1, or with a tensor that has no name, known datatype and shape");
            }
        }

        return ready;
    }

    public byte[] Write() => System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(this, SidecarJsonContext.Default.Ready);

    private static bool AreKnown(IReadOnlyList<ReadyTensor>? tensors) =>
        tensors is null || tensors.All(tensor => tensor is { Name.Length: > 0, Shape: not null } && ElementTypes.TryParse(tensor.Datatype, out _));
}

/// <summary>A model that a sidecar serves.</summary>
/// <param name="Name">What callers use.</param>
/// <param name="Version">For people.</param>
/// <param name="Task">The task's name where the sidecar does the whole task; null for a network as it is.</param>
/// <param name="Concurrency">Calls that are computed at the same time.</param>
/// <param name="Progress">Calls report progress.</param>
/// <param name="Cancel">A cancelled call stops computing.</param>
/// <param name="Inputs">Empty or null: anything.</param>
/// <param name="Outputs">Empty or null: not said.</param>
public sealed record ReadyModel(
    string Name,
    string? Version = null,
    string? Task = null,
    int Concurrency = 1,
    bool Progress = false,
    bool Cancel = false,
    IReadOnlyList<ReadyTensor>? Inputs = null,
    IReadOnlyList<ReadyTensor>? Outputs = null);

/// <summary>Name, datatype as in the Open Inference Protocol, and shape, where −1 varies.</summary>
public sealed record ReadyTensor(string Name, string Datatype, long[] Shape);
