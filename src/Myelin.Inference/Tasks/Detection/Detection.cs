namespace Myelin.Inference.Tasks.Detection;

/// <summary>One find, in the units of where it stands: the network's input after decoding, pixels of the original after mapping.</summary>
internal readonly record struct Detection(int ClassId, float Score, float X1, float Y1, float X2, float Y2)
{
    /// <summary>x, y pairs in the decoder's order; null where the network finds none.</summary>
    public float[]? Keypoints { get; init; }

    public float Area => Math.Max(0, X2 - X1) * Math.Max(0, Y2 - Y1);
}
