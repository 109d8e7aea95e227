using System.Buffers;
using System.Text;
using Myelin.Inference.Imaging;
using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Text;

/// <summary>Reads lines of text that were cut out. Stateless but for the runtime, which it does not own.</summary>
/// <param name="settings">Sizes and batch.</param>
/// <param name="symbols">By class: the blank, the keys, the space.</param>
/// <param name="runtime">The recognition network.</param>
internal sealed class LineReader(TextReadingSettings settings, IReadOnlyList<string> symbols, IRuntime runtime)
{
    /// <summary>What is wrong with the network, or null.</summary>
    public static string? Misfit(IRuntime runtime, TextReadingSettings settings, int classes)
    {
        if (runtime.Inputs is not [{ Type: ElementType.Float32, Shape: [-1, 3 or -1, var height, -1] }] || (height >= 0 && height != settings.Height))
        {
            return $"the recognition network must take one FP32 input [n,3,{settings.Height},width] of any width";
        }

        return runtime.Outputs is [{ Type: ElementType.Float32, Shape: [_, _, var given] }] && (given < 0 || given == classes)
            ? null
            : $"the recognition network must give one FP32 output [n,steps,{classes}]: blank, the lines of {settings.Keys}, space";
    }

    /// <returns>Text and mean score of each line, in the order given.</returns>
    public async Task<(string Text, float Score)[]> ReadAsync(
        IReadOnlyList<(byte[] Pixels, int Width, int Height)> lines, CancellationToken cancellationToken)
    {
        var readings = new (string, float)[lines.Count];

        // Lines of like proportions share a batch, so that little of it is padding.
        var order = Enumerable.Range(0, lines.Count).OrderBy(index => (double)lines[index].Width / lines[index].Height).ToArray();
        foreach (var batch in order.Chunk(settings.Batch))
        {
            using var tensor = Prepare([.. batch.Select(index => lines[index])]);
            using var outputs = await runtime.InferAsync([tensor], cancellationToken).ConfigureAwait(false);
            var shape = outputs[0].Shape;
            if (shape is not [var count, var steps, var classes] || count != batch.Length || classes != symbols.Count)
            {
                throw new RuntimeException($"the recognition network gave [{string.Join(',', shape)}] for {batch.Length} lines and {symbols.Count} symbols", retryable: false);
            }

            for (var line = 0; line < batch.Length; line++)
            {
                readings[batch[line]] = Decode(outputs[0].As<float>().Slice(line * (int)(steps * classes), (int)(steps * classes)));
            }
        }

        return readings;
    }

    private Tensor Prepare((byte[] Pixels, int Width, int Height)[] lines)
    {
        var height = settings.Height;
        var ratio = Math.Max((double)settings.Width / height, lines.Max(line => (double)line.Width / line.Height));
        var width = Math.Min((int)(height * ratio), settings.MaxWidth);
        var tensor = runtime.Rent(runtime.Inputs[0].Name, ElementType.Float32, lines.Length, 3, height, width);
        var target = tensor.As<float>();
        target.Clear();
        var pixels = ArrayPool<byte>.Shared.Rent(width * height * 3);
        for (var index = 0; index < lines.Length; index++)
        {
            var line = lines[index];
            var scaled = Math.Clamp((int)Math.Ceiling((double)height * line.Width / line.Height), 1, width);
            Bilinear.Resize(line.Pixels, line.Width, line.Height, pixels, scaled, height);
            TextPixels.Write(pixels.AsSpan(0, scaled * height * 3), scaled, height, target.Slice(index * 3 * height * width, 3 * height * width), width);
        }

        ArrayPool<byte>.Shared.Return(pixels);
        return tensor;
    }

    /// <summary>The likeliest symbol of each step, repeats joined, blanks dropped.</summary>
    private (string Text, float Score) Decode(ReadOnlySpan<float> steps)
    {
        var text = new StringBuilder();
        var (sum, count, last) = (0f, 0, 0);
        for (var at = 0; at < steps.Length; at += symbols.Count)
        {
            var step = steps.Slice(at, symbols.Count);
            var best = System.Numerics.Tensors.TensorPrimitives.IndexOfMax(step);
            if (best != 0 && best != last)
            {
                text.Append(symbols[best]);
                sum += step[best];
                count++;
            }

            last = best;
        }

        return (text.ToString(), count == 0 ? 0 : sum / count);
    }
}
