namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>Where a sampler gets its noise: one draw after the other.</summary>
internal interface INoise
{
    /// <summary>Standard normals for one latent.</summary>
    void Draw(Span<float> values);

    /// <summary>Standard normals that all pictures of the request share.</summary>
    void DrawShared(Span<float> values);
}

/// <summary>
/// The noise of one picture of a request. The reference draws for all pictures of a request at once; this draws the
/// same and keeps the picture's part, so each picture can run on its own and still be the one the reference gives.
/// </summary>
/// <param name="seed">The request's seed.</param>
/// <param name="count">Pictures of the request.</param>
/// <param name="index">This picture, from 0.</param>
internal sealed class TorchNoise(ulong seed, int count, int index) : INoise
{
    private readonly TorchNormal _normal = new(seed);

    public void DrawShared(Span<float> values) => _normal.Fill(values);

    public void Draw(Span<float> values)
    {
        if (count == 1)
        {
            _normal.Fill(values);
            return;
        }

        var all = new float[values.Length * count];
        _normal.Fill(all);
        all.AsSpan(index * values.Length, values.Length).CopyTo(values);
    }
}
