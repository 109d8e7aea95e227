namespace Myelin.Sidecar.Http;

/// <summary>What a sidecar can do at the moment; swapped whole.</summary>
/// <param name="Models">By name; empty while loading.</param>
/// <param name="Failure">Why loading failed; null where it did not.</param>
internal sealed record SidecarState(SidecarPhase Phase, IReadOnlyDictionary<string, ServedModel> Models, string? Failure = null)
{
    public static SidecarState Loading { get; } = new(SidecarPhase.Loading, new Dictionary<string, ServedModel>());
}

internal enum SidecarPhase
{
    Loading,
    Ready,
    Draining,
    Failed,
}
