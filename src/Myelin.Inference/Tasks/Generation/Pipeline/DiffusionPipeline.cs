using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks.Generation.Sampling;
using Myelin.Inference.Tasks.Generation.Tokens;

namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>
/// A latent diffusion model in the diffusers ONNX folder layout: text → conditioning → denoising → picture. Safe for
/// concurrent calls: what a picture needs belongs to its call, the networks are leased. Each picture of a request runs
/// on its own, so its bytes do not depend on what else runs.
/// </summary>
internal sealed class DiffusionPipeline : IAsyncDisposable
{
    private readonly ComponentStore _store;
    private readonly TextConditioner _text;

    private DiffusionPipeline(DiffusionFolder folder, ComponentStore store, TextConditioner text)
    {
        (Folder, _store, _text) = (folder, store, text);
        Autoencoder = new Autoencoder(store, folder.Latent);
    }

    public DiffusionFolder Folder { get; }

    public Autoencoder Autoencoder { get; }

    public IReadOnlyList<string> Loaded => _store.Loaded();

    /// <summary>Reads the folder and loads each network once, to see that it works. The source stays the caller's.</summary>
    /// <exception cref="ModelException">The folder is incomplete or broken; names every file at fault.</exception>
    public static async Task<DiffusionPipeline> LoadAsync(
        string path, ComponentOptions options, IRuntimeSource source, TimeProvider time, CancellationToken cancellationToken)
    {
        var folder = DiffusionFolder.Read(path);
        var store = new ComponentStore(options, source, time);
        try
        {
            var encoders = folder.Encoders.Select(e => (e.Encoder, ClipTokenizer.Load(folder.Files, e.Tokenizer))).ToList();
            string[] parts = [.. folder.Encoders.Select(e => e.Encoder), "unet", "vae_decoder", .. folder.HasEncoder ? ["vae_encoder"] : Array.Empty<string>()];
            var pooled = false;
            foreach (var part in parts)
            {
                var component = await store.AddAsync(folder.Files, part, cancellationToken).ConfigureAwait(false);
                if (part == "unet")
                {
                    Check(folder, component);
                    pooled = component.Inputs.Any(i => i.Name == "text_embeds");
                }
            }

            return new DiffusionPipeline(folder, store, new TextConditioner(store, encoders, pooled));
        }
        catch
        {
            await store.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Conditioning of a request, shared by its pictures.</summary>
    public async Task<(Conditioning Positive, Conditioning? Negative)> ConditionAsync(
        GenerationRequest request, RuntimeMeter meter, CancellationToken cancellationToken)
    {
        var positive = await _text.EncodeAsync(request.Prompt, meter, cancellationToken).ConfigureAwait(false);
        if (request.Guidance <= 1 || Folder.GuidanceWidth is not null)
        {
            return (positive, null);
        }

        return string.IsNullOrEmpty(request.NegativePrompt) && Folder.ZeroNegative
            ? (positive, positive.Zeros())
            : (positive, await _text.EncodeAsync(request.NegativePrompt ?? "", meter, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Makes picture <paramref name="index"/> of the request's <see cref="GenerationRequest.Count"/>.</summary>
    /// <returns>Planar RGB, −1 to 1 (not yet clamped).</returns>
    /// <exception cref="InputException">The steps or the strength cannot be had.</exception>
    public async Task<float[]> RunAsync(
        GenerationRequest request, (Conditioning Positive, Conditioning? Negative) text, int index, RuntimeMeter meter,
        Action<GenerationStep> stepped, CancellationToken cancellationToken)
    {
        var size = (Height: request.Height / Folder.Latent.Factor, Width: request.Width / Folder.Latent.Factor);
        var sampler = SamplerNames.Create(SamplerNames.Resolve(request.Sampler, Folder.Scheduler), request.Steps, request.Strength, size);
        var start = await StartLatents.MakeAsync(request, Folder, Autoencoder, sampler, size, new TorchNoise(request.Seed, request.Count, index), meter, cancellationToken)
            .ConfigureAwait(false);
        var lease = await _store.LeaseAsync("unet", cancellationToken).ConfigureAwait(false);
        using (var denoiser = new Denoiser(lease, meter, Inputs(request, text, start), size, Folder.Latent.Channels))
        {
            var (scaled, prediction) = (new float[start.Latent.Length], new float[start.Latent.Length]);
            for (var i = 0; i < sampler.Timesteps.Count; i++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                sampler.ScaleInput(i, start.Latent, scaled);
                await denoiser.PredictAsync(scaled, sampler.Timesteps[i], prediction, cancellationToken).ConfigureAwait(false);
                sampler.Step(i, prediction, start.Latent, start.Noise);
                start.KeepUnmasked(sampler, i + 1);
                stepped(new GenerationStep(i + 1, sampler.Timesteps.Count, start.Latent));
            }
        }

        return await Autoencoder.DecodeAsync(start.Latent, size, meter, cancellationToken).ConfigureAwait(false);
    }

    public ValueTask DisposeAsync() => _store.DisposeAsync();

    private DenoiserInputs Inputs(GenerationRequest request, (Conditioning Positive, Conditioning? Negative) text, StartLatents start) =>
        new(text.Positive, text.Negative, request.Guidance)
        {
            TimeIds = [request.Height, request.Width, 0, 0, request.Height, request.Width],
            GuidanceEmbedding = Folder.GuidanceWidth is { } width ? DenoiserInputs.Embed(request.Guidance, width) : null,
            Extra = start.Extra,
        };

    private static void Check(DiffusionFolder folder, Component unet)
    {
        var sample = unet.Inputs.FirstOrDefault(i => i.Name == "sample")
            ?? throw ModelFiles.Broken("unet/model.onnx", "", $"has no input 'sample'; it has: {string.Join(", ", unet.Inputs.Select(i => i.Name))}");
        if (sample.Shape.Length != 4 || (sample.Shape[1] >= 0 && sample.Shape[1] != folder.InputChannels))
        {
            throw ModelFiles.Broken("unet/model.onnx", "", $"takes [{string.Join(',', sample.Shape)}], but unet/config.json says {folder.InputChannels} channels");
        }

        if (unet.Inputs.Any(i => i.Name == "timestep_cond") && folder.GuidanceWidth is null)
        {
            throw ModelFiles.Broken("unet/config.json", "time_cond_proj_dim", "is missing, but the network takes timestep_cond");
        }

        var known = unet.Inputs.FirstOrDefault(i => i.Name == "time_ids");
        if (known is not null && known.Shape[^1] is >= 0 and not 6)
        {
            throw ModelFiles.Broken("unet/model.onnx", "", $"takes {known.Shape[^1]} time ids; 6 (SDXL base) are supported");
        }
    }
}
