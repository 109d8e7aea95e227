using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks.Generation.Tokens;

namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>What the text encoders make of one prompt.</summary>
/// <param name="Hidden">[tokens × width], the encoders' widths joined.</param>
/// <param name="Tokens">Rows of <paramref name="Hidden"/>.</param>
/// <param name="Pooled">One vector for the whole prompt, where the network takes it.</param>
internal sealed record Conditioning(float[] Hidden, int Tokens, float[]? Pooled)
{
    public Conditioning Zeros() => new(new float[Hidden.Length], Tokens, Pooled is null ? null : new float[Pooled.Length]);
}

/// <summary>Prompt → conditioning, by one encoder (its last layer) or SDXL's two (their last layer but one, joined).</summary>
internal sealed class TextConditioner(ComponentStore store, IReadOnlyList<(string Encoder, ClipTokenizer Tokenizer)> encoders, bool pooled)
{
    public async Task<Conditioning> EncodeAsync(string prompt, RuntimeMeter meter, CancellationToken cancellationToken)
    {
        var parts = new List<(float[] Values, int Width)>();
        var tokens = 0;
        float[]? summary = null;
        foreach (var (encoder, tokenizer) in encoders)
        {
            var ids = tokenizer.Encode(prompt);
            using var lease = await store.LeaseAsync(encoder, cancellationToken).ConfigureAwait(false);
            var inputs = Inputs(lease.Component, ids);
            try
            {
                using var outputs = await lease.InferAsync(inputs, meter, cancellationToken).ConfigureAwait(false);
                var hidden = TensorValues.Read(Hidden(outputs));
                tokens = ids.Length;
                parts.Add((hidden, hidden.Length / tokens));
                if (pooled && outputs.FirstOrDefault(o => o.Name == "text_embeds") is { } embeds)
                {
                    summary = TensorValues.Read(embeds);
                }
            }
            finally
            {
                inputs.ForEach(i => i.Dispose());
            }
        }

        return new Conditioning(Join(parts, tokens), tokens, summary);
    }

    private static List<Tensor> Inputs(Component component, int[] ids)
    {
        var inputs = new List<Tensor>();
        foreach (var spec in component.Inputs)
        {
            // Some exports also want a mask; CLIP attends to the padding as well.
            inputs.Add(TensorValues.Ids(spec, spec.Name == "attention_mask" ? [.. ids.Select(_ => 1)] : ids));
        }

        return inputs;
    }

    private Tensor Hidden(TensorSet outputs)
    {
        const string layer = "hidden_states.";
        if (pooled)
        {
            var layers = outputs.Where(o => o.Name.StartsWith(layer, StringComparison.Ordinal))
                .OrderBy(o => int.TryParse(o.Name.AsSpan(layer.Length), out var number) ? number : -1).ToList();
            return layers.Count > 1 ? layers[^2] : throw new RuntimeException(
                "the text encoder gives no hidden states, which this network needs; export it with output_hidden_states", retryable: false);
        }

        return outputs.FirstOrDefault(o => o.Name == "last_hidden_state") ?? outputs.First(o => o.Shape.Length == 3);
    }

    private static float[] Join(List<(float[] Values, int Width)> parts, int tokens)
    {
        if (parts.Count == 1)
        {
            return parts[0].Values;
        }

        var width = parts.Sum(p => p.Width);
        var joined = new float[tokens * width];
        for (var token = 0; token < tokens; token++)
        {
            var at = token * width;
            foreach (var (values, own) in parts)
            {
                values.AsSpan(token * own, own).CopyTo(joined.AsSpan(at));
                at += own;
            }
        }

        return joined;
    }
}
