namespace Myelin.Protocol;

/// <summary>What <c>/health/live</c> and <c>/health/ready</c> answer.</summary>
/// <param name="Status"><c>live</c>, <c>ready</c> or <c>unready</c>.</param>
/// <param name="Reasons">Why the server takes no work; empty when ready.</param>
public sealed record Health(string Status, IReadOnlyList<string> Reasons);
