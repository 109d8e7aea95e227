namespace Myelin.Inference.Runtimes.Oip;

/// <summary>Whether a request's inputs are what a network takes.</summary>
internal static class OipFit
{
    /// <exception cref="OipException">Names the input and what would be right.</exception>
    public static void Check(IReadOnlyList<Tensor> inputs, IReadOnlyList<TensorSpec> specs)
    {
        if (specs.Count == 0)
        {
            return; // takes anything
        }

        for (var i = 0; i < inputs.Count; i++)
        {
            var (input, field) = (inputs[i], $"inputs[{i}]");
            var spec = specs.FirstOrDefault(s => s.Name == input.Name)
                ?? throw new OipException(field + ".name", $"must be one of the network's inputs: {string.Join(", ", specs.Select(s => s.Name))}");
            if (input.Type != spec.Type)
            {
                throw new OipException(field + ".datatype", $"must be {spec.Type.WireName()}");
            }

            if (input.Shape.Length != spec.Shape.Length || input.Shape.Zip(spec.Shape).Any(pair => pair.Second >= 0 && pair.First != pair.Second))
            {
                throw new OipException(field + ".shape", $"must be [{string.Join(',', spec.Shape)}], where -1 stands for any length");
            }
        }

        foreach (var spec in specs)
        {
            var given = inputs.Count(input => input.Name == spec.Name);
            if (given != 1)
            {
                throw new OipException("inputs", $"'{spec.Name}' must be given exactly once, and is {(given == 0 ? "missing" : $"given {given} times")}");
            }
        }
    }
}
