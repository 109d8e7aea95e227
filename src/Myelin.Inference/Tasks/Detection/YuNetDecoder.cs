using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Detection;

/// <summary>
/// YuNet: for each stride s of 8, 16, 32 the outputs cls_s, obj_s [1, n, 1], bbox_s [1, n, 4] (centre offset and log
/// size in cells) and kps_s [1, n, 10] (five points, offsets in cells).
/// </summary>
internal sealed class YuNetDecoder : IDetectionDecoder
{
    private static readonly int[] s_strides = [8, 16, 32];

    public IReadOnlyList<string> Keypoints { get; } = ["right eye", "left eye", "nose", "right mouth corner", "left mouth corner"];

    public string? Misfit(IReadOnlyList<TensorSpec> outputs, int width, int height, int classes)
    {
        if (classes != 1)
        {
            return $"yunet finds one class, but there are {classes} labels";
        }

        var missing = s_strides.SelectMany(stride =>
        {
            var cells = (long)(width / stride) * (height / stride);
            return new (string Name, long[] Shape)[]
            {
                ($"cls_{stride}", [1, cells, 1]), ($"obj_{stride}", [1, cells, 1]), ($"bbox_{stride}", [1, cells, 4]), ($"kps_{stride}", [1, cells, 10]),
            };
        }).Where(wanted => !outputs.Any(output => output.Name == wanted.Name && Shapes.Fit(output.Shape, wanted.Shape))).ToArray();
        return missing.Length == 0
            ? null
            : $"yunet needs the outputs {string.Join(", ", missing.Select(m => $"{m.Name} [{string.Join(',', m.Shape)}]"))} for this size; the network has {Shapes.Show(outputs)}";
    }

    public void Decode(TensorSet outputs, int width, int height, float threshold, List<Detection> candidates)
    {
        foreach (var stride in s_strides)
        {
            var classes = outputs[$"cls_{stride}"].As<float>();
            var objects = outputs[$"obj_{stride}"].As<float>();
            var boxes = outputs[$"bbox_{stride}"].As<float>();
            var points = outputs[$"kps_{stride}"].As<float>();
            var columns = width / stride;
            for (var cell = 0; cell < classes.Length; cell++)
            {
                var score = MathF.Sqrt(Math.Clamp(classes[cell], 0, 1) * Math.Clamp(objects[cell], 0, 1));
                if (score < threshold)
                {
                    continue;
                }

                var (column, line) = (cell % columns, cell / columns);
                var x = (column + boxes[cell * 4]) * stride;
                var y = (line + boxes[(cell * 4) + 1]) * stride;
                var halfWidth = MathF.Exp(boxes[(cell * 4) + 2]) * stride / 2;
                var halfHeight = MathF.Exp(boxes[(cell * 4) + 3]) * stride / 2;
                var keypoints = new float[10];
                for (var point = 0; point < 5; point++)
                {
                    keypoints[2 * point] = (points[(cell * 10) + (2 * point)] + column) * stride;
                    keypoints[(2 * point) + 1] = (points[(cell * 10) + (2 * point) + 1] + line) * stride;
                }

                candidates.Add(new Detection(0, score, x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight) { Keypoints = keypoints });
            }
        }
    }
}
