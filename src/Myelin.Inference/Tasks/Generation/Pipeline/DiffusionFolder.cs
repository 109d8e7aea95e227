using System.Text.Json;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks.Generation.Sampling;

namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>
/// What the configurations of a diffusers ONNX folder say. Read without loading weights; everything wrong is reported
/// at once.
/// </summary>
internal sealed record DiffusionFolder
{
    public required ModelFiles Files { get; init; }

    public required SchedulerConfig Scheduler { get; init; }

    /// <summary>Folders of the text encoders, each with its tokenizer's.</summary>
    public required IReadOnlyList<(string Encoder, string Tokenizer)> Encoders { get; init; }

    /// <summary>Width of the second guidance input of a distilled network (<c>timestep_cond</c>); null where it has none.</summary>
    public int? GuidanceWidth { get; init; }

    /// <summary>Channels of the network's sample input: the latent's, or those with a mask and a masked latent.</summary>
    public int InputChannels { get; init; }

    /// <summary>Default height and width of the latent.</summary>
    public (int Height, int Width) SampleSize { get; init; }

    /// <summary>Height and width of a latent must be a multiple of this: the network halves them so often.</summary>
    public int LatentMultiple { get; init; }

    /// <summary>Heads of the UNet's widest attention (diffusers calls their number <c>attention_head_dim</c>), and how often the latent is halved before it.</summary>
    public (int Heads, int Level) Attention { get; init; } = (8, 0);

    /// <summary>Channels of the autoencoder where it is as wide as the picture.</summary>
    public int DecoderChannels { get; init; } = 128;

    public required LatentSpace Latent { get; init; }

    /// <summary>An absent negative prompt becomes zeros, not the encoding of nothing (SDXL).</summary>
    public bool ZeroNegative { get; init; }

    /// <summary>A consistency model: few steps, guidance as an input.</summary>
    public bool Consistency => GuidanceWidth is not null || Scheduler.Class == SamplerNames.Lcm;

    public bool HasEncoder => Files.Has("vae_encoder/model.onnx");

    /// <summary>Pixels per latent cell.</summary>
    public int PixelMultiple => Latent.Factor * LatentMultiple;

    /// <exception cref="ModelException">Parts are missing or broken; lists all of them by file and key.</exception>
    public static DiffusionFolder Read(string folder)
    {
        var files = new ModelFiles(folder);
        var errors = new List<ModelError>();
        var index = Try(files, "model_index.json", errors);
        if (files.Has("transformer/config.json") || files.Has("transformer/model.onnx"))
        {
            errors.Add(new ModelError("transformer/model.onnx", "", "pipelines with a transformer are not supported; this task runs those with a UNet"));
        }

        var scheduler = Try(files, "scheduler/scheduler_config.json", errors);
        var unet = Try(files, "unet/config.json", errors);
        var vae = Try(files, "vae_decoder/config.json", errors);
        var encoders = ReadEncoders(files, index, errors);
        foreach (var part in (string[])[.. encoders.Select(e => e.Encoder), "unet", "vae_decoder"])
        {
            if (!files.Has($"{part}/model.onnx"))
            {
                errors.Add(new ModelError($"{part}/model.onnx", "", "is missing; the folder must be a complete diffusers ONNX export"));
            }
        }

        var config = SchedulerConfig.Read(scheduler, "scheduler/scheduler_config.json", errors);
        var shape = new ConfigReader(unet, "unet/config.json", errors);
        var latent = LatentSpace.Read(new ConfigReader(vae, "vae_decoder/config.json", errors));
        var sample = shape.Pair("sample_size", 64);
        var read = new DiffusionFolder
        {
            Files = files,
            Scheduler = config,
            Encoders = encoders,
            GuidanceWidth = shape.Optional("time_cond_proj_dim"),
            InputChannels = shape.Integer("in_channels", latent.Channels),
            SampleSize = sample,
            LatentMultiple = 1 << Math.Clamp(shape.Length("block_out_channels", 4) - 1, 0, 8),
            Attention = (Math.Clamp(shape.First("num_attention_heads", shape.First("attention_head_dim", 8)), 1, 128), shape.Position("down_block_types", "Attn")),
            DecoderChannels = Math.Clamp(new ConfigReader(vae, "vae_decoder/config.json", errors).First("block_out_channels", 128), 1, 4096),
            Latent = latent,
            ZeroNegative = index.ValueKind == JsonValueKind.Object && index.TryGetProperty("force_zeros_for_empty_prompt", out var zeros)
                && zeros.ValueKind == JsonValueKind.True,
        };
        if (errors.Count == 0 && read.InputChannels != latent.Channels && read.InputChannels != (2 * latent.Channels) + 1)
        {
            errors.Add(new ModelError("unet/config.json", "in_channels",
                $"is {read.InputChannels}; a latent of {latent.Channels} channels needs {latent.Channels}, or {(2 * latent.Channels) + 1} for inpainting"));
        }

        return errors.Count == 0 ? read : throw new ModelException(errors);
    }

    private static List<(string Encoder, string Tokenizer)> ReadEncoders(ModelFiles files, JsonElement index, List<ModelError> errors)
    {
        List<(string Encoder, string Tokenizer)> found = [];
        foreach (var (encoder, tokenizer) in (ReadOnlySpan<(string, string)>)[("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")])
        {
            // The index is the folder's own list of parts; where it does not say, what lies there counts.
            var listed = index.ValueKind == JsonValueKind.Object && index.TryGetProperty(encoder, out var entry)
                ? entry.ValueKind == JsonValueKind.Array && entry.GetArrayLength() == 2 && entry[0].ValueKind == JsonValueKind.String
                : files.Has($"{encoder}/model.onnx");
            if (listed)
            {
                found.Add((encoder, tokenizer));
            }
        }

        if (found.Count == 0)
        {
            errors.Add(new ModelError("text_encoder/model.onnx", "", "is missing; a text-to-image model needs a text encoder"));
        }

        return found;
    }

    private static JsonElement Try(ModelFiles files, string file, List<ModelError> errors)
    {
        try
        {
            return files.Json(file);
        }
        catch (ModelException fault)
        {
            errors.AddRange(fault.Errors);
            return JsonDocument.Parse("{\"_class_name\":\"DDIMScheduler\"}").RootElement; // Stands in, so that the other files are checked too.
        }
    }
}
