using Myelin.Inference.Imaging.Vips;
using Myelin.Inference.Tasks;

namespace Myelin.Inference.Imaging;

/// <summary>Opens bytes with the one loader that their first bytes name. Opening reads the header; pixels come later.</summary>
internal static unsafe class PictureLoader
{
    private const string FailOn = "fail_on";
    private const string Access = "access";

    /// <param name="bytes">Stay pinned for as long as the image lives.</param>
    /// <param name="length">Count of <paramref name="bytes"/>.</param>
    /// <param name="format">Chooses the loader.</param>
    /// <param name="sequential">Rows are read once from the top: streams. False decodes into memory on first use.</param>
    /// <param name="shrink">1, 2, 4 or 8: a JPEG is decoded at this fraction, at little more than that fraction of the cost.</param>
    /// <param name="field">For the error.</param>
    public static VipsImage Open(byte* bytes, int length, PictureFormat format, bool sequential, int shrink, string field)
    {
        VipsLibrary.Initialise();
        const int fail = VipsNative.FailOnError;
        var access = sequential ? VipsNative.Sequential : 0;
        var size = (nuint)length;
        VipsImage image;
        var code = format switch
        {
            PictureFormat.Jpeg => VipsNative.LoadJpeg(bytes, size, out image, FailOn, fail, Access, access, "shrink", shrink, 0),
            PictureFormat.Png => VipsNative.LoadPng(bytes, size, out image, FailOn, fail, Access, access, 0),
            PictureFormat.WebP => VipsNative.LoadWebP(bytes, size, out image, FailOn, fail, Access, access, 0),
            PictureFormat.Avif => VipsNative.LoadHeif(bytes, size, out image, FailOn, fail, Access, access, 0),
            PictureFormat.Gif => VipsNative.LoadGif(bytes, size, out image, FailOn, fail, Access, access, 0),
            _ => VipsNative.LoadTiff(bytes, size, out image, FailOn, fail, Access, access, 0),
        };
        return code == 0 ? image : throw Damaged(format, field);
    }

    public static InputException Damaged(PictureFormat format, string field) =>
        new(field, $"the {format.ToString().ToUpperInvariant()} picture is damaged or incomplete: {VipsLibrary.TakeError()}");
}
