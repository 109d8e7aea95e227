using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks.Generation.Sampling;

namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>Pixels ↔ latents. Pixels are planar RGB, −1 to 1.</summary>
internal sealed class Autoencoder(ComponentStore store, LatentSpace space)
{
    /// <summary>A latent → pixels [3 × height·factor × width·factor].</summary>
    public async Task<float[]> DecodeAsync(ReadOnlyMemory<float> latent, (int Height, int Width) size, RuntimeMeter meter, CancellationToken cancellationToken)
    {
        using var lease = await store.LeaseAsync("vae_decoder", cancellationToken).ConfigureAwait(false);
        var scaled = latent.ToArray();
        space.ToDecoder(scaled);
        using var input = TensorValues.Of(lease.Component.Inputs[0], scaled, 1, space.Channels, size.Height, size.Width);
        using var outputs = await lease.InferAsync([input], meter, cancellationToken).ConfigureAwait(false);
        var pixels = TensorValues.Read(outputs[0]);
        return pixels.Length == 3 * size.Height * size.Width * space.Factor * space.Factor
            ? pixels
            : throw new RuntimeException($"the VAE decoder gave [{string.Join(',', outputs[0].Shape)}] for a latent of {size.Width}×{size.Height}", retryable: false);
    }

    /// <summary>Pixels → a latent. Draws noise where the encoder gives a distribution, which the reference samples.</summary>
    public async Task<float[]> EncodeAsync(float[] pixels, (int Height, int Width) size, INoise noise, RuntimeMeter meter, CancellationToken cancellationToken)
    {
        using var lease = await store.LeaseAsync("vae_encoder", cancellationToken).ConfigureAwait(false);
        using var input = TensorValues.Of(lease.Component.Inputs[0], pixels, 1, 3, size.Height * space.Factor, size.Width * space.Factor);
        using var outputs = await lease.InferAsync([input], meter, cancellationToken).ConfigureAwait(false);
        var given = TensorValues.Read(outputs[0]);
        var length = space.Channels * size.Height * size.Width;
        var latent = given.Length == length ? given
            : given.Length == 2 * length ? Sample(given, length, noise)
            : throw new RuntimeException($"the VAE encoder gave [{string.Join(',', outputs[0].Shape)}] for a latent of {size.Width}×{size.Height}", retryable: false);
        space.FromEncoder(latent);
        return latent;
    }

    /// <summary>Mean + deviation·noise, from means and logarithms of variances.</summary>
    private static float[] Sample(float[] distribution, int length, INoise noise)
    {
        var latent = new float[length];
        noise.DrawShared(latent);
        for (var i = 0; i < length; i++)
        {
            latent[i] = distribution[i] + (MathF.Exp(0.5f * Math.Clamp(distribution[length + i], -30, 20)) * latent[i]);
        }

        return latent;
    }
}
