namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>How many steps, and how much of them runs when a picture was given.</summary>
internal sealed record Plan(int Steps, double Strength)
{
    /// <summary>First evaluation that runs; <paramref name="order"/> evaluations belong to a step.</summary>
    /// <exception cref="InputException">Nothing would be left to run.</exception>
    public int Start(int order = 1)
    {
        var kept = Math.Min((int)(Steps * Strength), Steps);
        return kept > 0
            ? (Steps - kept) * order
            : throw new InputException("parameters.strength", $"{Strength} of {Steps} steps leaves no step to run; raise strength or steps");
    }
}
