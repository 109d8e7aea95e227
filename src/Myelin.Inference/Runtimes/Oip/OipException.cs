namespace Myelin.Inference.Runtimes.Oip;

/// <summary>A message breaks the Open Inference Protocol, or goes over a limit.</summary>
/// <param name="field">Path of what is wrong, such as <c>inputs[0].shape</c>; a part of the body such as <c>body</c>.</param>
/// <param name="problem">What is wrong and what would be right; reads on after the field.</param>
/// <param name="unsupported">The message is right, but asks for an extension that this end does not offer.</param>
internal sealed class OipException(string field, string problem, bool unsupported = false) : Exception($"{field} {problem}")
{
    public bool Unsupported { get; } = unsupported;

    public string Field { get; } = field;

    /// <summary>The message without the field.</summary>
    public string Problem { get; } = problem;
}
