namespace Myelin.Inference.Imaging;

/// <summary>What a picture from outside may cost. Checked on the header, before a pixel is decoded.</summary>
public sealed record ImagingLimits
{
    /// <summary>Encoded size in bytes.</summary>
    public long MaxBytes { get; init; } = 32 * 1024 * 1024;

    /// <summary>Width × height in millions. A decoded picture takes 3 bytes a pixel: 50 megapixels are 150 MB.</summary>
    public double MaxMegapixels { get; init; } = 50;

    /// <summary>Longest side in pixels; keeps a 1×50,000,000 strip out.</summary>
    public int MaxSide { get; init; } = 30_000;

    /// <summary>Most frames that a file may announce; only the first is decoded.</summary>
    public int MaxFrames { get; init; } = 10_000;

    /// <summary>Longest side of <c>annotated.jpg</c>; a larger picture is drawn on at this size.</summary>
    public int MaxAnnotatedSide { get; init; } = 4096;

    /// <summary>JPEG quality of annotated pictures, 1..100. From 90 on colours are stored at full resolution: thin lines stay crisp.</summary>
    public int AnnotatedQuality { get; init; } = 90;
}
