namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>
/// Standard normals of PyTorch's CPU generator: the same seed and the same sequence of draws give the same numbers
/// there and here (within 3·10⁻⁷ for draws of 16 and more, exactly below). Not thread-safe; one per generation.
/// </summary>
/// <param name="seed">Only its low 32 bits count, as in PyTorch.</param>
internal sealed class TorchNormal(ulong seed)
{
    private const int Block = 16;

    private readonly MersenneTwister _random = new(unchecked((uint)seed));
    private double? _kept;

    /// <summary>One draw: fills all of <paramref name="values"/>. How a stream is cut into draws changes its numbers.</summary>
    public void Fill(Span<float> values)
    {
        if (values.Length >= Block)
        {
            FillBlocks(values);
            return;
        }

        foreach (ref var value in values)
        {
            value = (float)NextDouble();
        }
    }

    private void FillBlocks(Span<float> values)
    {
        foreach (ref var value in values)
        {
            value = Uniform();
        }

        for (var at = 0; at + Block <= values.Length; at += Block)
        {
            BoxMuller(values.Slice(at, Block));
        }

        if (values.Length % Block != 0)
        {
            var last = values[^Block..]; // PyTorch draws the last 16 anew rather than a part of a block.
            foreach (ref var value in last)
            {
                value = Uniform();
            }

            BoxMuller(last);
        }
    }

    private float Uniform() => (_random.Next() & 0xFFFFFF) * (1f / (1 << 24));

    private static void BoxMuller(Span<float> block)
    {
        for (var j = 0; j < Block / 2; j++)
        {
            // In single precision, as the reference: in double the numbers would be better and differ.
            var radius = MathF.Sqrt(-2 * MathF.Log(1 - block[j]));
            var (sine, cosine) = MathF.SinCos(2 * MathF.PI * block[j + (Block / 2)]);
            block[j] = radius * cosine;
            block[j + (Block / 2)] = radius * sine;
        }
    }

    private double NextDouble()
    {
        if (_kept is { } kept)
        {
            _kept = null;
            return kept;
        }

        var first = UniformDouble();
        var second = UniformDouble();
        // log1p(-u): near 0 the plain logarithm would lose the digits that PyTorch keeps.
        var radius = Math.Sqrt(-2 * Log1P(-second));
        var (sine, cosine) = Math.SinCos(2 * Math.PI * first);
        _kept = radius * sine;
        return radius * cosine;
    }

    private double UniformDouble()
    {
        var high = (ulong)_random.Next();
        return (((high << 32) | _random.Next()) & ((1UL << 53) - 1)) * (1.0 / (1UL << 53));
    }

    private static double Log1P(double x)
    {
        var sum = 1 + x;
        return sum == 1 ? x : Math.Log(sum) * (x / (sum - 1));
    }
}
