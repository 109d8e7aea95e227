using System.Text.Json;

namespace Myelin.Inference.Runtimes.Oip;

/// <summary>One request or answer of the Open Inference Protocol as it was received. Owns its tensors.</summary>
internal sealed record OipMessage : IDisposable
{
    /// <summary>The sender's name for the call; echoed in the answer.</summary>
    public string? Id { get; init; }

    /// <summary>Of a request: the name under which its progress is followed (<see cref="OipExtensions.Call"/>); null where nobody does.</summary>
    public string? Call { get; init; }

    /// <summary>Of a request: how long its sender waits from now; infinite where it does not say.</summary>
    public TimeSpan Timeout { get; init; } = System.Threading.Timeout.InfiniteTimeSpan;

    /// <summary>The message's own <c>parameters</c>: an object, empty where there are none but the protocol's own. Lives on after the message.</summary>
    public JsonElement Parameters { get; init; } = OipJson.Empty;

    public TensorSet Tensors { get; init; } = new([]);

    /// <summary>Of a request: the outputs that are wanted; empty for all.</summary>
    public IReadOnlyList<OipRequestedOutput> Requested { get; init; } = [];

    /// <summary>Of a request: outputs are wanted as bytes unless <see cref="Requested"/> says otherwise.</summary>
    public bool BinaryOutput { get; init; }

    public void Dispose() => Tensors.Dispose();
}

/// <summary>An output that a request asks for.</summary>
/// <param name="Binary">As bytes; null where the request's own setting decides.</param>
internal readonly record struct OipRequestedOutput(string Name, bool? Binary);
