using System.Runtime.InteropServices;
using Myelin.Inference.Imaging.Vips;
using NetVips;

namespace Myelin.Inference.Imaging;

/// <summary>Opens bytes with the one loader that their first bytes name. Opening reads the header; pixels come later.</summary>
/// <param name="bytes">The encoded picture.</param>
/// <param name="format">Chooses the loader.</param>
/// <param name="field">For the error.</param>
internal readonly struct PictureLoader(ReadOnlyMemory<byte> bytes, PictureFormat format, string field)
{
    // libvips reads the array itself where the bytes are one; a part of one is copied.
    private readonly byte[] _bytes = MemoryMarshal.TryGetArray(bytes, out var part) && part.Array!.Length == part.Count ? part.Array : bytes.ToArray();

    public PictureFormat Format => format;

    public string Field => @field;

    /// <summary>The caller disposes the image first, then the source.</summary>
    /// <param name="sequential">Rows are read once from the top: streams. False decodes into memory on first use.</param>
    /// <param name="shrink">1, 2, 4 or 8: a JPEG is decoded at this fraction, at little more than that fraction of the cost.</param>
    /// <param name="source">Keeps the bytes where they are for as long as the image lives.</param>
    /// <exception cref="VipsException">The header cannot be read; <see cref="Damaged"/> says why.</exception>
    public Image Open(bool sequential, int shrink, out Source source)
    {
        VipsLibrary.Initialise();
        var access = sequential ? Enums.Access.Sequential : Enums.Access.Random;
        var opened = source = Source.NewFromMemory(_bytes);
        try
        {
            return format switch
            {
                PictureFormat.Jpeg => Image.JpegloadSource(opened, shrink: shrink, access: access, failOn: Enums.FailOn.Error),
                PictureFormat.Png => Image.PngloadSource(opened, access: access, failOn: Enums.FailOn.Error),
                PictureFormat.WebP => Image.WebploadSource(opened, access: access, failOn: Enums.FailOn.Error),
                PictureFormat.Avif => Image.HeifloadSource(opened, access: access, failOn: Enums.FailOn.Error),
                PictureFormat.Gif => Image.GifloadSource(opened, access: access, failOn: Enums.FailOn.Error),
                _ => Image.TiffloadSource(opened, access: access, failOn: Enums.FailOn.Error),
            };
        }
        catch (VipsException)
        {
            opened.Dispose();
            throw;
        }
    }

    /// <summary>The exception's own words are not shown: they may be another picture's. Its <see cref="InputException.Cause"/> is for whoever can wait.</summary>
    public InputException Damaged()
    {
        var (picture, kind) = (_bytes, format);
        return new(field, $"the {kind.ToString().ToUpperInvariant()} picture is damaged or incomplete") { Cause = token => DamageReport.OfAsync(picture, kind, token) };
    }
}
