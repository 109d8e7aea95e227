using Myelin.Inference.Tasks.Generation.Sampling;

namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>
/// What the denoising of one picture begins with, and what it must keep: pure noise, a noised picture, or either with a
/// mask. Draws noise in the reference's order.
/// </summary>
internal sealed class StartLatents
{
    private float[]? _original;
    private float[]? _drawn;
    private float[]? _mask; // Per cell: 1 made anew, 0 kept.

    private StartLatents(float[] latent, INoise noise) => (Latent, Noise) = (latent, noise);

    /// <summary>Denoised in place.</summary>
    public float[] Latent { get; }

    public INoise Noise { get; }

    /// <summary>Channels that an inpainting network takes besides the latent's.</summary>
    public float[]? Extra { get; private set; }

    public static async Task<StartLatents> MakeAsync(
        GenerationRequest request, DiffusionFolder folder, Autoencoder autoencoder, ISampler sampler, (int Height, int Width) size,
        INoise noise, RuntimeMeter meter, CancellationToken cancellationToken)
    {
        var length = folder.Latent.Channels * size.Height * size.Width;
        var inpaints = folder.InputChannels != folder.Latent.Channels;
        var start = new StartLatents(new float[length], noise);
        var blends = request.Mask is not null && !inpaints;
        // With a mask and full strength nothing of the picture is in the first latent, so an inpainting network does not encode it.
        if (request.Image is not null && (request.Mask is null || blends || request.Strength < 1))
        {
            start._original = await autoencoder.EncodeAsync(request.Image, size, noise, meter, cancellationToken).ConfigureAwait(false);
        }

        var drawn = new float[length];
        noise.Draw(drawn);
        if (start._original is null || (request.Mask is not null && request.Strength >= 1))
        {
            Linear.Scale(start.Latent, sampler.InitialSigma, drawn);
        }
        else
        {
            sampler.AddNoise(0, start._original, drawn, start.Latent);
        }

        if (request.Mask is { } mask)
        {
            await start.MaskAsync(request.Image!, mask, inpaints, folder, autoencoder, size, meter, cancellationToken).ConfigureAwait(false);
            (start._drawn, start._original) = blends ? (drawn, start._original) : (null, null);
        }
        else if (inpaints)
        {
            start.Extra = await NothingKnownAsync(request, folder, autoencoder, size, noise, meter, cancellationToken).ConfigureAwait(false);
        }

        return start;
    }

    /// <summary>Puts the kept part back, noised as the sample is before evaluation <paramref name="next"/>.</summary>
    public void KeepUnmasked(ISampler sampler, int next)
    {
        if (_mask is null || _original is null || _drawn is null)
        {
            return;
        }

        var kept = _original;
        if (next < sampler.Timesteps.Count)
        {
            kept = new float[Latent.Length];
            sampler.AddNoise(next, _original, _drawn, kept);
        }

        for (var i = 0; i < Latent.Length; i++)
        {
            var mask = _mask[i % _mask.Length];
            Latent[i] = ((1 - mask) * kept[i]) + (mask * Latent[i]);
        }
    }

    private async Task MaskAsync(
        float[] image, float[] mask, bool inpaints, DiffusionFolder folder, Autoencoder autoencoder, (int Height, int Width) size,
        RuntimeMeter meter, CancellationToken cancellationToken)
    {
        var factor = folder.Latent.Factor;
        _mask = new float[size.Height * size.Width];
        for (var y = 0; y < size.Height; y++)
        {
            for (var x = 0; x < size.Width; x++)
            {
                _mask[(y * size.Width) + x] = mask[(y * factor * size.Width * factor) + (x * factor)]; // Nearest, as the reference.
            }
        }

        // Encoded also where only the draw of noise matters: it moves the generator on.
        var masked = new float[image.Length];
        for (var i = 0; i < image.Length; i++)
        {
            masked[i] = mask[i % mask.Length] < 0.5f ? image[i] : 0;
        }

        var encoded = await autoencoder.EncodeAsync(masked, size, Noise, meter, cancellationToken).ConfigureAwait(false);
        Extra = inpaints ? [.. _mask, .. encoded] : null;
    }

    /// <summary>An inpainting network without a mask: everything is made anew, nothing is known.</summary>
    private static async Task<float[]> NothingKnownAsync(
        GenerationRequest request, DiffusionFolder folder, Autoencoder autoencoder, (int Height, int Width) size,
        INoise noise, RuntimeMeter meter, CancellationToken cancellationToken)
    {
        var empty = new float[3 * request.Width * request.Height];
        var encoded = folder.HasEncoder
            ? await autoencoder.EncodeAsync(empty, size, noise, meter, cancellationToken).ConfigureAwait(false)
            : new float[folder.Latent.Channels * size.Height * size.Width];
        return [.. Enumerable.Repeat(1f, size.Height * size.Width), .. encoded];
    }
}
