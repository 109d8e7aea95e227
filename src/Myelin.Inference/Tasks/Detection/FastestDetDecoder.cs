using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Detection;

/// <summary>
/// FastestDet: one output [1, 5 + classes, rows, columns]: objectness, offset of the centre (tanh, in cells), size
/// (sigmoid, of the picture), class scores; score = objectness^0.6 × class^0.4.
/// </summary>
internal sealed class FastestDetDecoder : IDetectionDecoder
{
    public IReadOnlyList<string> Keypoints => [];

    public string? Misfit(IReadOnlyList<TensorSpec> outputs, int width, int height, int classes)
    {
        long[] wanted = [1, 5 + classes, -1, -1];
        return outputs.Count == 1 && (Shapes.Fit(outputs[0].Shape, wanted) || Shapes.Fit(outputs[0].Shape, wanted[1..]))
            ? null
            : $"fastestdet needs one output [1,{5 + classes},rows,columns] for these labels; the network has {Shapes.Show(outputs)}";
    }

    public void Decode(TensorSet outputs, int width, int height, float threshold, List<Detection> candidates)
    {
        var values = outputs[0].As<float>();
        var shape = outputs[0].Shape;
        var (channels, lines, columns) = ((int)shape[^3], (int)shape[^2], (int)shape[^1]);
        var plane = lines * columns;
        for (var cell = 0; cell < plane; cell++)
        {
            var best = 5;
            for (var channel = 6; channel < channels; channel++)
            {
                best = values[(channel * plane) + cell] > values[(best * plane) + cell] ? channel : best;
            }

            var score = MathF.Pow(values[cell], 0.6f) * MathF.Pow(values[(best * plane) + cell], 0.4f);
            if (!(score >= threshold))
            {
                continue;
            }

            var x = ((cell % columns) + MathF.Tanh(values[plane + cell])) / columns * width;
            var y = ((cell / columns) + MathF.Tanh(values[(2 * plane) + cell])) / lines * height;
            var halfWidth = Sigmoid(values[(3 * plane) + cell]) * width / 2;
            var halfHeight = Sigmoid(values[(4 * plane) + cell]) * height / 2;
            candidates.Add(new Detection(best - 5, score, x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight));
        }
    }

    private static float Sigmoid(float x) => 1 / (1 + MathF.Exp(-x));
}
