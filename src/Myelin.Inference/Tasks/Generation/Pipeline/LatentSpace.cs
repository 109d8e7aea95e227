namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>How the autoencoder's latents relate to those that are denoised.</summary>
/// <param name="Channels">Of a latent.</param>
/// <param name="Factor">Pixels per latent cell and side.</param>
/// <param name="Scaling">Denoised = (encoded − shift) · scaling.</param>
/// <param name="Shift">See <paramref name="Scaling"/>.</param>
/// <param name="Mean">Per channel, where the autoencoder gives them instead of a shift.</param>
/// <param name="Deviation">Per channel.</param>
/// <param name="Width">Channels of the innermost block; tells the well-known autoencoders from others.</param>
internal sealed record LatentSpace(int Channels, int Factor, float Scaling, float Shift, float[]? Mean, float[]? Deviation, int Width)
{
    private const double DefaultScaling = 0.18215;

    public static LatentSpace Read(ConfigReader config)
    {
        var channels = config.Integer("latent_channels", 4);
        return new LatentSpace(
            channels,
            1 << Math.Clamp(config.Length("block_out_channels", 4) - 1, 0, 8),
            (float)(config.Number("scaling_factor") ?? DefaultScaling),
            (float)(config.Number("shift_factor") ?? 0),
            config.Numbers("latents_mean", channels),
            config.Numbers("latents_std", channels),
            config.Last("block_out_channels"));
    }

    /// <summary>In place: what is denoised → what the decoder takes.</summary>
    public void ToDecoder(Span<float> latent)
    {
        var plane = latent.Length / Channels;
        for (var i = 0; i < latent.Length; i++)
        {
            latent[i] = Mean is not null && Deviation is not null
                ? (latent[i] * Deviation[i / plane] / Scaling) + Mean[i / plane]
                : (latent[i] / Scaling) + Shift;
        }
    }

    /// <summary>In place: what the encoder gives → what is denoised.</summary>
    public void FromEncoder(Span<float> latent)
    {
        var plane = latent.Length / Channels;
        for (var i = 0; i < latent.Length; i++)
        {
            latent[i] = Mean is not null && Deviation is not null
                ? (latent[i] - Mean[i / plane]) * Scaling / Deviation[i / plane]
                : (latent[i] - Shift) * Scaling;
        }
    }
}
