using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Detection;

/// <summary>Comparing and showing shapes, where −1 is any length.</summary>
internal static class Shapes
{
    public static bool Fit(long[] shape, long[] wanted) =>
        shape.Length == wanted.Length && !shape.Zip(wanted).Any(pair => pair.First >= 0 && pair.Second >= 0 && pair.First != pair.Second);

    public static string Show(IReadOnlyList<TensorSpec> specs) =>
        string.Join(", ", specs.Select(spec => $"{spec.Name} {spec.Type.WireName()} [{string.Join(',', spec.Shape)}]"));
}
