using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>
/// The UNet for one picture: holds the inputs that stay the same over the steps, and joins the guided pair. Both go
/// through in one batch, or in two calls where the graph's batch is fixed. Used by one job; dispose returns the buffers.
/// </summary>
internal sealed class Denoiser : IDisposable
{
    private readonly ComponentLease _lease;
    private readonly RuntimeMeter _meter;
    private readonly List<Pass> _passes = [];
    private readonly TensorSpec _timestep;
    private readonly int _channels;
    private readonly int _plane;
    private readonly double _guidance;

    /// <param name="lease">The loaded UNet; disposed with this.</param>
    /// <param name="meter">Counts the time inside.</param>
    /// <param name="inputs">What conditions the picture.</param>
    /// <param name="size">Height and width of the latent.</param>
    /// <param name="channels">Of the latent.</param>
    public Denoiser(ComponentLease lease, RuntimeMeter meter, DenoiserInputs inputs, (int Height, int Width) size, int channels)
    {
        (_lease, _meter, _channels, _guidance) = (lease, meter, channels, inputs.Guidance);
        _plane = size.Height * size.Width;
        var specs = lease.Component.Inputs;
        _timestep = Find(specs, "timestep");
        var sample = Find(specs, "sample");
        var rows = inputs.Negative is null ? (Conditioning[])[inputs.Positive] : [inputs.Negative, inputs.Positive];
        var together = sample.Shape[0] < 0 || sample.Shape[0] == rows.Length;
        foreach (var batch in together ? [rows] : rows.Select(r => (Conditioning[])[r]))
        {
            _passes.Add(new Pass(specs, sample, inputs, batch, size, channels));
        }
    }

    /// <summary>Writes the (guided) prediction for <paramref name="scaled"/>, the sampler's scaled sample.</summary>
    public async ValueTask PredictAsync(float[] scaled, float timestep, float[] prediction, CancellationToken cancellationToken)
    {
        var rows = new List<float[]>(2);
        using var time = Timestep(timestep);
        foreach (var pass in _passes)
        {
            pass.Fill(scaled);
            using var outputs = await _lease.InferAsync([.. pass.Tensors, time], _meter, cancellationToken).ConfigureAwait(false);
            var values = TensorValues.Read(outputs[0]);
            var size = _channels * _plane;
            if (values.Length != pass.Rows * size)
            {
                throw new RuntimeException($"the UNet gave [{string.Join(',', outputs[0].Shape)}] for a latent of {_channels} channels and {_plane} cells", retryable: false);
            }

            for (var row = 0; row < pass.Rows; row++)
            {
                rows.Add(values[(row * size)..((row + 1) * size)]);
            }
        }

        if (rows.Count == 1)
        {
            rows[0].CopyTo(prediction, 0);
        }
        else
        {
            // negative + g·(positive − negative)
            Sampling.Linear.Sum(prediction, 1 - _guidance, rows[0], _guidance, rows[1]);
        }
    }

    public void Dispose()
    {
        foreach (var pass in _passes)
        {
            pass.Dispose();
        }

        _lease.Dispose();
    }

    private Tensor Timestep(float value) => _timestep.Shape.Length == 0
        ? TensorValues.Of(_timestep, [value])
        : TensorValues.Of(_timestep, Enumerable.Repeat(value, (int)Math.Max(_timestep.Shape[0], 1)).ToArray(), Math.Max(_timestep.Shape[0], 1));

    private static TensorSpec Find(IReadOnlyList<TensorSpec> specs, string name) => specs.FirstOrDefault(s => s.Name == name)
        ?? throw new RuntimeException($"the UNet has no input '{name}'; it has: {string.Join(", ", specs.Select(s => s.Name))}", retryable: false);

    /// <summary>One call's inputs.</summary>
    private sealed class Pass : IDisposable
    {
        private readonly Tensor _sample;
        private readonly int _stride;

        public Pass(IReadOnlyList<TensorSpec> specs, TensorSpec sample, DenoiserInputs inputs, Conditioning[] rows, (int Height, int Width) size, int channels)
        {
            Rows = rows.Length;
            var plane = size.Height * size.Width;
            var all = channels + ((inputs.Extra?.Length ?? 0) / plane);
            _stride = all * plane;
            _sample = Tensor.Rent(sample.Name, sample.Type, Rows, all, size.Height, size.Width);
            for (var row = 0; row < Rows && inputs.Extra is not null; row++)
            {
                TensorValues.Write(_sample, (row * _stride) + (channels * plane), inputs.Extra);
            }

            Tensors = [_sample];
            foreach (var spec in specs)
            {
                float[]? values = spec.Name switch
                {
                    "encoder_hidden_states" => [.. rows.SelectMany(r => r.Hidden)],
                    "text_embeds" => [.. rows.SelectMany(r => r.Pooled ?? throw new RuntimeException("the text encoders give no text_embeds", retryable: false))],
                    "time_ids" => [.. rows.SelectMany(_ => inputs.TimeIds)],
                    "timestep_cond" => [.. rows.SelectMany(_ => inputs.GuidanceEmbedding!)],
                    "sample" or "timestep" => null,
                    _ => throw new RuntimeException($"the UNet wants '{spec.Name}', which no supported pipeline gives", retryable: false),
                };
                if (values is not null)
                {
                    var width = values.Length / Rows;
                    Tensors.Add(spec.Shape.Length == 3
                        ? TensorValues.Of(spec, values, Rows, rows[0].Tokens, width / rows[0].Tokens)
                        : TensorValues.Of(spec, values, Rows, width));
                }
            }
        }

        public int Rows { get; }

        public List<Tensor> Tensors { get; }

        public void Fill(float[] scaled)
        {
            for (var row = 0; row < Rows; row++)
            {
                TensorValues.Write(_sample, row * _stride, scaled);
            }
        }

        public void Dispose() => Tensors.ForEach(t => t.Dispose());
    }
}

/// <summary>What conditions one picture besides its noise.</summary>
/// <param name="Positive">The prompt.</param>
/// <param name="Negative">What to steer away from; null where guidance is off.</param>
/// <param name="Guidance">How far: 1 is not at all.</param>
internal sealed record DenoiserInputs(Conditioning Positive, Conditioning? Negative, double Guidance)
{
    /// <summary>Sizes that SDXL is told: original height and width, crop, target height and width.</summary>
    public float[] TimeIds { get; init; } = [];

    /// <summary>The guidance as a distilled network takes it.</summary>
    public float[]? GuidanceEmbedding { get; init; }

    /// <summary>Channels after the latent's: mask and masked latent of an inpainting network.</summary>
    public float[]? Extra { get; init; }

    /// <summary>Sines and cosines of the guidance, as consistency models were distilled with.</summary>
    public static float[] Embed(double guidance, int width)
    {
        var half = width / 2;
        var embedding = new float[width];
        for (var i = 0; i < half; i++)
        {
            var angle = (guidance - 1) * 1000 * Math.Exp(-Math.Log(10000) / (half - 1) * i);
            (embedding[i], embedding[half + i]) = ((float)Math.Sin(angle), (float)Math.Cos(angle));
        }

        return embedding;
    }
}
