using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Detection;

/// <summary>
/// BlazeFace of MediaPipe: two grids, 16×16 with 2 anchors a cell and 8×8 with 6, each as scores [1, n, 1] (before the
/// sigmoid) and values [1, n, 16]: centre, size and six points in pixels of the input, relative to the cell's centre.
/// </summary>
internal sealed class BlazeFaceDecoder : IDetectionDecoder
{
    private static readonly (int Cells, int Anchors)[] s_grids = [(16, 2), (8, 6)];

    public IReadOnlyList<string> Keypoints { get; } = ["right eye", "left eye", "nose", "mouth", "right ear", "left ear"];

    public string? Misfit(IReadOnlyList<TensorSpec> outputs, int width, int height, int classes)
    {
        if (classes != 1)
        {
            return $"blazeface finds one class, but there are {classes} labels";
        }

        return s_grids.All(grid => Find(outputs, grid, 1) >= 0 && Find(outputs, grid, 16) >= 0)
            ? null
            : $"blazeface needs the outputs [1,512,1], [1,384,1], [1,512,16], [1,384,16]; the network has {Shapes.Show(outputs)}";
    }

    public void Decode(TensorSet outputs, int width, int height, float threshold, List<Detection> candidates)
    {
        // The sigmoid rises everywhere, so comparing before it saves an exponential for each of 896 anchors.
        var logit = threshold <= 0 ? float.NegativeInfinity : threshold >= 1 ? float.PositiveInfinity : MathF.Log(threshold / (1 - threshold));
        foreach (var grid in s_grids)
        {
            var scores = outputs.First(tensor => IsOf(tensor.Shape, grid, 1)).As<float>();
            var values = outputs.First(tensor => IsOf(tensor.Shape, grid, 16)).As<float>();
            for (var anchor = 0; anchor < scores.Length; anchor++)
            {
                if (scores[anchor] >= logit)
                {
                    var cell = anchor / grid.Anchors;
                    var x = ((cell % grid.Cells) + 0.5f) / grid.Cells * width;
                    var y = ((cell / grid.Cells) + 0.5f) / grid.Cells * height;
                    candidates.Add(Read(values.Slice(anchor * 16, 16), x, y, 1 / (1 + MathF.Exp(-scores[anchor]))));
                }
            }
        }
    }

    private static Detection Read(ReadOnlySpan<float> value, float x, float y, float score)
    {
        var (centreX, centreY, halfWidth, halfHeight) = (x + value[0], y + value[1], value[2] / 2, value[3] / 2);
        var points = new float[12];
        for (var at = 0; at < 12; at += 2)
        {
            points[at] = x + value[4 + at];
            points[at + 1] = y + value[5 + at];
        }

        return new Detection(0, score, centreX - halfWidth, centreY - halfHeight, centreX + halfWidth, centreY + halfHeight) { Keypoints = points };
    }

    private static int Find(IReadOnlyList<TensorSpec> outputs, (int Cells, int Anchors) grid, int length)
    {
        for (var index = 0; index < outputs.Count; index++)
        {
            if (IsOf(outputs[index].Shape, grid, length))
            {
                return index;
            }
        }

        return -1;
    }

    private static bool IsOf(long[] shape, (int Cells, int Anchors) grid, int length) =>
        shape is [_, var rows, var columns] && rows == grid.Cells * grid.Cells * grid.Anchors && columns == length;
}
