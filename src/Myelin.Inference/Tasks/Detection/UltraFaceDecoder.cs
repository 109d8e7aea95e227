using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Detection;

/// <summary>
/// Ultra-Light-Fast-Generic-Face-Detector (RFB, slim, masked): scores [1, n, 1 + classes] after softmax with the
/// background first, boxes [1, n, 4] as x1, y1, x2, y2 in 0..1.
/// </summary>
internal sealed class UltraFaceDecoder : IDetectionDecoder
{
    public IReadOnlyList<string> Keypoints => [];

    public string? Misfit(IReadOnlyList<TensorSpec> outputs, int width, int height, int classes) =>
        outputs.Any(output => output.Name == "scores" && Shapes.Fit(output.Shape, [1, -1, 1 + classes]))
        && outputs.Any(output => output.Name == "boxes" && Shapes.Fit(output.Shape, [1, -1, 4]))
            ? null
            : $"ultraface needs the outputs scores [1,n,{1 + classes}] (background and the labels) and boxes [1,n,4]; the network has {Shapes.Show(outputs)}";

    public void Decode(TensorSet outputs, int width, int height, float threshold, List<Detection> candidates)
    {
        var classes = (int)outputs["scores"].Shape[2];
        var scores = outputs["scores"].As<float>();
        var boxes = outputs["boxes"].As<float>();
        for (var row = 0; row < boxes.Length / 4; row++)
        {
            var best = 1;
            for (var candidate = 2; candidate < classes; candidate++)
            {
                best = scores[(row * classes) + candidate] > scores[(row * classes) + best] ? candidate : best;
            }

            var score = scores[(row * classes) + best];
            if (score >= threshold)
            {
                var box = boxes.Slice(row * 4, 4);
                candidates.Add(new Detection(best - 1, score, box[0] * width, box[1] * height, box[2] * width, box[3] * height));
            }
        }
    }
}
