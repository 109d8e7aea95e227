using System.Text.Json;
using Myelin.Testing;

namespace Myelin.Benchmarks.Gpu;

/// <summary>
/// Networks of random weights in the shapes of known ones: Stable Diffusion 1.5 as a diffusers folder (UNet of 859,520,964
/// parameters, CLIP's text encoder, the autoencoder's decoder), ResNet-50 with its normalisations folded in.
/// </summary>
/// <param name="width">Channels of the UNet's outermost level: 320 for the real size, a multiple of 160.</param>
internal sealed class RandomNetworks(int width)
{
    private const int Groups = 32;
    private const int Heads = 8;
    private const int Tokens = 77;
    private const int TextLayers = 12;

    private static readonly string[] s_down = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"];

    private readonly int[] _levels = [width, 2 * width, 4 * width, 4 * width];
    private readonly int _text = width * 12 / 5;
    private readonly int _picture = width * 2 / 5;
    private OnnxGraph _graph = new();

    /// <summary>A complete folder for <c>text-to-image</c>. The tokenizer is emoji-diffusion's, at CLIP's length.</summary>
    /// <returns>Parameters of each part.</returns>
    public Dictionary<string, long> WriteDiffusion(string folder)
    {
        var tokenizer = Path.Combine(Shared.Root, "models", "emoji-diffusion", "1", "tokenizer");
        foreach (var file in Directory.EnumerateFiles(tokenizer))
        {
            Write(folder, $"tokenizer/{Path.GetFileName(file)}", File.ReadAllText(file).Replace("\"model_max_length\": 32", $"\"model_max_length\": {Tokens}", StringComparison.Ordinal));
        }

        Write(folder, "model_index.json", """{"_class_name": "StableDiffusionPipeline", "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"]}""");
        Write(folder, "scheduler/scheduler_config.json", """{"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "clip_sample": false, "set_alpha_to_one": false, "steps_offset": 1}""");
        Write(folder, "unet/config.json", JsonSerializer.Serialize(new { in_channels = 4, sample_size = 64, attention_head_dim = Heads, block_out_channels = _levels, down_block_types = s_down }));
        Write(folder, "vae_decoder/config.json", JsonSerializer.Serialize(new { latent_channels = 4, scaling_factor = 0.18215, block_out_channels = PictureLevels() }));
        return new Dictionary<string, long>
        {
            ["text encoder"] = TextEncoder(Path.Combine(folder, "text_encoder")),
            ["UNet"] = UNet(Path.Combine(folder, "unet")),
            ["decoder"] = Decoder(Path.Combine(folder, "vae_decoder")),
        };
    }

    /// <summary>ResNet-50 over [n, 3, 224, 224].</summary>
    public long WriteClassifier(string folder)
    {
        _graph = new OnnxGraph();
        var x = _graph.Input("input", integers: false, "n", 3, 224, 224);
        x = _graph.Node("MaxPool", [Relu(Convolution(x, 3, 64, 7, 2))], ("kernel_shape", new long[] { 3, 3 }), ("strides", new long[] { 2, 2 }), ("pads", new long[] { 1, 1, 1, 1 }));
        var channels = 64;
        foreach (var (inner, blocks, first) in new[] { (64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2) })
        {
            for (var block = 0; block < blocks; block++)
            {
                var stride = block == 0 ? first : 1;
                var skip = block == 0 ? Convolution(x, channels, 4 * inner, 1, stride) : x;
                var y = Relu(Convolution(Relu(Convolution(x, channels, inner, 1)), inner, inner, 3, stride));
                x = Relu(Add(Convolution(y, inner, 4 * inner, 1), skip));
                channels = 4 * inner;
            }
        }

        var pooled = _graph.Node("Flatten", [_graph.Node("GlobalAveragePool", [x])]);
        _graph.Write(folder, Linear(pooled, channels, 1000), "logits", "n", 1000);
        return _graph.Parameters;
    }

    private int[] PictureLevels() => [_picture, 2 * _picture, 4 * _picture, 4 * _picture];

    private long TextEncoder(string folder)
    {
        const int Words = 49_408;
        _graph = new OnnxGraph();
        var ids = _graph.Input("input_ids", integers: true, "n", Tokens);
        var x = _graph.Node("Gather", [_graph.Weights(1, Words, _text), ids]);
        x = Add(x, _graph.Weights(1, Tokens, _text));
        var mask = new float[Tokens * Tokens];
        for (var at = 0; at < mask.Length; at++)
        {
            mask[at] = at % Tokens > at / Tokens ? -1e4f : 0;
        }

        var causal = _graph.Constant(mask, 1, 1, Tokens, Tokens);
        for (var layer = 0; layer < TextLayers; layer++)
        {
            var y = LayerNorm(x, _text);
            x = Add(x, Attention(y, y, _text, _text, _text / 64, bias: true, causal));
            y = Linear(LayerNorm(x, _text), _text, 4 * _text);
            y = _graph.Node("Mul", [y, _graph.Node("Sigmoid", [_graph.Node("Mul", [y, _graph.Constant([1.702f])])])]);
            x = Add(x, Linear(y, 4 * _text, _text));
        }

        _graph.Write(folder, LayerNorm(x, _text), "last_hidden_state", "n", Tokens, _text);
        return _graph.Parameters;
    }

    private long UNet(string folder)
    {
        _graph = new OnnxGraph();
        var sample = _graph.Input("sample", integers: false, "n", 4, "h", "w");
        var timestep = _graph.Input("timestep", integers: false, 1);
        var text = _graph.Input("encoder_hidden_states", integers: false, "n", Tokens, _text);
        var time = Time(timestep);
        var x = Convolution(sample, 4, width, 3);
        var channels = width;
        var skips = new Stack<(string Name, int Channels)>([(x, channels)]);
        for (var level = 0; level < 4; level++)
        {
            for (var layer = 0; layer < 2; layer++)
            {
                x = Residual(x, channels, _levels[level], time);
                channels = _levels[level];
                x = level < 3 ? Transformer(x, channels, text) : x;
                skips.Push((x, channels));
            }

            if (level < 3)
            {
                x = Convolution(x, channels, channels, 3, stride: 2);
                skips.Push((x, channels));
            }
        }

        x = Residual(Transformer(Residual(x, channels, channels, time), channels, text), channels, channels, time);
        for (var level = 3; level >= 0; level--)
        {
            for (var layer = 0; layer < 3; layer++)
            {
                var skip = skips.Pop();
                x = Residual(_graph.Node("Concat", [x, skip.Name], ("axis", 1)), channels + skip.Channels, _levels[level], time);
                channels = _levels[level];
                x = level < 3 ? Transformer(x, channels, text) : x;
            }

            x = level > 0 ? Convolution(Twice(x), channels, channels, 3) : x;
        }

        _graph.Write(folder, Convolution(Silu(GroupNorm(x, channels)), channels, 4, 3), "out_sample", "n", 4, "h", "w");
        return _graph.Parameters;
    }

    private long Decoder(string folder)
    {
        _graph = new OnnxGraph();
        var levels = PictureLevels();
        var channels = levels[3];
        var x = Convolution(_graph.Input("latent_sample", integers: false, "n", 4, "h", "w"), 4, 4, 1);
        x = Residual(Convolution(x, 4, channels, 3), channels, channels, null);
        var rows = Rows(GroupNorm(x, channels));
        x = Residual(Add(x, Cells(Attention(rows, rows, channels, channels, 1, bias: true), x)), channels, channels, null);
        for (var level = 3; level >= 0; level--)
        {
            for (var layer = 0; layer < 3; layer++)
            {
                x = Residual(x, channels, levels[level], null);
                channels = levels[level];
            }

            x = level > 0 ? Convolution(Twice(x), channels, channels, 3) : x;
        }

        _graph.Write(folder, Convolution(Silu(GroupNorm(x, channels)), channels, 3, 3), "sample", "n", 3, "H", "W");
        return _graph.Parameters;
    }

    /// <summary>Cosines and sines of the timestep, through two layers; already through the activation that every block begins with.</summary>
    private string Time(string timestep)
    {
        float[] frequencies = [.. Enumerable.Range(0, width / 2).Select(i => MathF.Exp(-MathF.Log(10_000) * i / (width / 2)))];
        var angles = _graph.Node("Mul", [timestep, _graph.Constant(frequencies, 1, width / 2)]);
        var waves = _graph.Node("Concat", [_graph.Node("Cos", [angles]), _graph.Node("Sin", [angles])], ("axis", 1));
        return Silu(Linear(Silu(Linear(waves, width, 4 * width)), 4 * width, 4 * width));
    }

    private string Residual(string x, int from, int to, string? time)
    {
        var y = Convolution(Silu(GroupNorm(x, from)), from, to, 3);
        if (time is not null)
        {
            y = Add(y, _graph.Node("Reshape", [Linear(time, 4 * width, to), _graph.Integers(1, to, 1, 1)]));
        }

        y = Convolution(Silu(GroupNorm(y, to)), to, to, 3);
        return Add(from == to ? x : Convolution(x, from, to, 1), y);
    }

    private string Transformer(string x, int channels, string text)
    {
        var rows = Rows(Convolution(GroupNorm(x, channels), channels, channels, 1));
        var y = LayerNorm(rows, channels);
        rows = Add(rows, Attention(y, y, channels, channels, Heads, bias: false));
        rows = Add(rows, Attention(LayerNorm(rows, channels), text, channels, _text, Heads, bias: false));
        var halves = _graph.Nodes("Split", 2, [Linear(LayerNorm(rows, channels), channels, 8 * channels)], ("axis", -1));
        rows = Add(rows, Linear(_graph.Node("Mul", [halves[0], Gelu(halves[1])]), 4 * channels, channels));
        return Add(x, Convolution(Cells(rows, x), channels, channels, 1));
    }

    private string Attention(string from, string to, int channels, int context, int heads, bool bias, string? mask = null)
    {
        var query = Split(Linear(from, channels, channels, bias), channels, heads, 0, 2, 1, 3);
        var key = Split(Linear(to, context, channels, bias), channels, heads, 0, 2, 3, 1);
        var value = Split(Linear(to, context, channels, bias), channels, heads, 0, 2, 1, 3);
        var scores = _graph.Node("Mul", [_graph.Node("MatMul", [query, key]), _graph.Constant([1 / MathF.Sqrt(channels / heads)])]);
        var shares = _graph.Node("Softmax", [mask is null ? scores : Add(scores, mask)], ("axis", -1));
        var joined = _graph.Node("Transpose", [_graph.Node("MatMul", [shares, value])], ("perm", new long[] { 0, 2, 1, 3 }));
        return Linear(_graph.Node("Reshape", [joined, _graph.Integers(0, 0, channels)]), channels, channels);
    }

    private string Split(string rows, int channels, int heads, params long[] order) =>
        _graph.Node("Transpose", [_graph.Node("Reshape", [rows, _graph.Integers(0, 0, heads, channels / heads)])], ("perm", order));

    /// <summary>[n, c, h, w] → [n, h·w, c].</summary>
    private string Rows(string cells) => _graph.Node("Transpose", [_graph.Node("Reshape", [cells, _graph.Integers(0, 0, -1)])], ("perm", new long[] { 0, 2, 1 }));

    private string Cells(string rows, string like) =>
        _graph.Node("Reshape", [_graph.Node("Transpose", [rows], ("perm", new long[] { 0, 2, 1 })), _graph.Node("Shape", [like])]);

    private string Twice(string x) => _graph.Node("Resize", [x, "", _graph.Constant([1, 1, 2, 2], 4)], ("mode", "nearest"), ("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor"));

    private string GroupNorm(string x, int channels)
    {
        var groups = _graph.Node("Reshape", [x, _graph.Integers(0, Groups, -1)]);
        groups = _graph.Node("InstanceNormalization", [groups, _graph.Constant([.. Enumerable.Repeat(1f, Groups)], Groups), _graph.Constant(new float[Groups], Groups)], ("epsilon", 1e-5f));
        var back = _graph.Node("Reshape", [groups, _graph.Node("Shape", [x])]);
        return Add(_graph.Node("Mul", [back, _graph.Filled(1, channels, 1, 1)]), _graph.Filled(0, channels, 1, 1));
    }

    private string LayerNorm(string x, int channels) => _graph.Node("LayerNormalization", [x, _graph.Filled(1, channels), _graph.Filled(0, channels)], ("axis", -1), ("epsilon", 1e-5f));

    private string Linear(string x, int from, int to, bool bias = true)
    {
        var y = _graph.Node("MatMul", [x, _graph.Weights(from, from, to)]);
        return bias ? Add(y, _graph.Filled(0, to)) : y;
    }

    private string Convolution(string x, int from, int to, int side, int stride = 1) => _graph.Node(
        "Conv",
        [x, _graph.Weights(from * side * side, to, from, side, side), _graph.Filled(0, to)],
        ("kernel_shape", new long[] { side, side }), ("strides", new long[] { stride, stride }), ("pads", new long[] { side / 2, side / 2, side / 2, side / 2 }));

    private string Gelu(string x)
    {
        var error = _graph.Node("Erf", [_graph.Node("Div", [x, _graph.Constant([MathF.Sqrt(2)])])]);
        return _graph.Node("Mul", [_graph.Node("Mul", [x, Add(error, _graph.Constant([1f]))]), _graph.Constant([0.5f])]);
    }

    private string Silu(string x) => _graph.Node("Mul", [x, _graph.Node("Sigmoid", [x])]);

    private string Relu(string x) => _graph.Node("Relu", [x]);

    private string Add(string a, string b) => _graph.Node("Add", [a, b]);

    private static void Write(string folder, string file, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(folder, file))!);
        File.WriteAllText(Path.Combine(folder, file), text);
    }
}
