namespace Myelin.Inference.Imaging;

/// <summary>How a picture is brought to a network's size.</summary>
public enum FitMode
{
    /// <summary>Whole picture, proportions kept, the rest padded.</summary>
    Letterbox,

    /// <summary>Whole picture, proportions given up.</summary>
    Stretch,

    /// <summary>Proportions kept, the middle used, the rest cut off.</summary>
    Crop,
}

/// <summary>
/// Where a picture lies in the network's input: it is scaled to <paramref name="ScaledWidth"/> ×
/// <paramref name="ScaledHeight"/> and put at the offset, which is negative where a crop cuts. Maps points back.
/// </summary>
public readonly record struct PictureFit(int ScaledWidth, int ScaledHeight, int OffsetX, int OffsetY, double ScaleX, double ScaleY)
{
    /// <param name="mode">How to fit.</param>
    /// <param name="width">Of the picture, in pixels.</param>
    /// <param name="height">Of the picture, in pixels.</param>
    /// <param name="targetWidth">Of the network's input.</param>
    /// <param name="targetHeight">Of the network's input.</param>
    /// <param name="centred">A letterbox pads on all sides; false pads right and below only.</param>
    /// <param name="cropRatio">A crop shows this part of the shorter side: 0.875 is 224 of 256.</param>
    public static PictureFit Of(FitMode mode, int width, int height, int targetWidth, int targetHeight, bool centred, double cropRatio)
    {
        if (mode == FitMode.Stretch)
        {
            return new PictureFit(targetWidth, targetHeight, 0, 0, (double)targetWidth / width, (double)targetHeight / height);
        }

        var (horizontal, vertical) = ((double)targetWidth / width, (double)targetHeight / height);
        var scale = mode == FitMode.Letterbox ? Math.Min(horizontal, vertical) : Math.Max(horizontal, vertical) / cropRatio;
        var scaledWidth = Math.Max(1, (int)Math.Round(width * scale));
        var scaledHeight = Math.Max(1, (int)Math.Round(height * scale));
        var middle = mode == FitMode.Crop || centred;
        return new PictureFit(
            scaledWidth,
            scaledHeight,
            middle ? (targetWidth - scaledWidth) / 2 : 0,
            middle ? (targetHeight - scaledHeight) / 2 : 0,
            (double)scaledWidth / width,
            (double)scaledHeight / height);
    }

    /// <summary>The part of the network's input that shows picture.</summary>
    public (int X, int Y, int Width, int Height) Window(int targetWidth, int targetHeight)
    {
        var (left, top) = (Math.Max(0, OffsetX), Math.Max(0, OffsetY));
        return (left, top, Math.Min(targetWidth, OffsetX + ScaledWidth) - left, Math.Min(targetHeight, OffsetY + ScaledHeight) - top);
    }

    /// <summary>A column of the network's input → a column of the original picture.</summary>
    public float X(float x) => (float)((x - OffsetX) / ScaleX);

    /// <summary>A row of the network's input → a row of the original picture.</summary>
    public float Y(float y) => (float)((y - OffsetY) / ScaleY);
}
