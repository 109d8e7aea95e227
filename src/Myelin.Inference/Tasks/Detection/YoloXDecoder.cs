using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Detection;

/// <summary>
/// YOLOX: one output [1, cells, 5 + classes] over the grids of strides 8, 16, 32. A row is centre offset (cells),
/// log size (cells), objectness, class scores; both scores are already sigmoids.
/// </summary>
internal sealed class YoloXDecoder : IDetectionDecoder
{
    private static readonly int[] s_strides = [8, 16, 32];

    public IReadOnlyList<string> Keypoints => [];

    public string? Misfit(IReadOnlyList<TensorSpec> outputs, int width, int height, int classes)
    {
        var cells = s_strides.Sum(stride => (long)(width / stride) * (height / stride));
        long[] wanted = [1, cells, 5 + classes];
        return outputs.Count == 1 && outputs[0].Type == ElementType.Float32 && Shapes.Fit(outputs[0].Shape, wanted)
            ? null
            : $"yolox needs one FP32 output [{string.Join(',', wanted)}] for this size and these labels; the network has {Shapes.Show(outputs)}";
    }

    public void Decode(TensorSet outputs, int width, int height, float threshold, List<Detection> candidates)
    {
        var rows = outputs[0].As<float>();
        var length = (int)outputs[0].Shape[2];
        var at = 0;
        foreach (var stride in s_strides)
        {
            var (columns, lines) = (width / stride, height / stride);
            for (var cell = 0; cell < columns * lines; cell++, at += length)
            {
                var objectness = rows[at + 4];
                if (objectness < threshold)
                {
                    continue; // class scores are at most 1
                }

                var scores = rows.Slice(at + 5, length - 5);
                var best = System.Numerics.Tensors.TensorPrimitives.IndexOfMax(scores);
                var score = objectness * scores[best];
                if (score >= threshold)
                {
                    var x = (rows[at] + (cell % columns)) * stride;
                    var y = (rows[at + 1] + (cell / columns)) * stride;
                    var halfWidth = MathF.Exp(rows[at + 2]) * stride / 2;
                    var halfHeight = MathF.Exp(rows[at + 3]) * stride / 2;
                    candidates.Add(new Detection(best, score, x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight));
                }
            }
        }
    }
}
