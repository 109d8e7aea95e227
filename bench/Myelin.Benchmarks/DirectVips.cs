using System.Runtime.InteropServices;

namespace Myelin.Benchmarks;

/// <summary>
/// Decode and fit by libvips' C interface, without a binding between: what <see cref="Pictures"/> holds NetVips to. The
/// library is the one that NetVips has started. No double goes through the variadic calls.
/// </summary>
internal static unsafe partial class DirectVips
{
    private const string Library = "libvips.so.42";
    private const int FailOnError = 2;
    private const int Sequential = 1;
    private const int SizeForce = 3;
    private const int SRgb = 22;

    /// <summary>As <c>Picture.Decode</c> and <c>PictureScaler.Scale</c> do: the header first, then all, then the fit.</summary>
    /// <returns>The first byte and the count of them, so that nothing is left out.</returns>
    public static (byte First, int Count) DecodeAndFit(byte[] jpeg, int shrink, int width, int height)
    {
        fixed (byte* bytes = jpeg)
        {
            Check(LoadJpeg(bytes, (nuint)jpeg.Length, out var probe, "fail_on", FailOnError, "access", Sequential, "shrink", 1, 0));
            _ = Width(probe) + Height(probe);
            Unref(probe);
            Check(LoadJpeg(bytes, (nuint)jpeg.Length, out var image, "fail_on", FailOnError, "access", Sequential, "shrink", shrink, 0));
            Check(ColourSpace(image, out var colour, SRgb, 0));
            var (decodedWidth, decodedHeight) = (Width(colour), Height(colour));
            var pixels = WriteToMemory(colour, out var length);
            Unref(colour);
            Unref(image);
            var raw = FromMemory(pixels, length, decodedWidth, decodedHeight, 3, 0);
            Check(Copy(raw, out var named, "interpretation", SRgb, 0));
            Check(Thumbnail(named, out var scaled, width, "height", height, "size", SizeForce, "no_rotate", 1, 0));
            var fitted = WriteToMemory(scaled, out var fittedLength);
            var answer = (*fitted, (int)fittedLength);
            Unref(scaled);
            Unref(named);
            Unref(raw);
            Free((nint)pixels);
            Free((nint)fitted);
            return answer;
        }
    }

    private static void Check(int code)
    {
        if (code != 0)
        {
            throw new InvalidOperationException("libvips refused a step");
        }
    }

    [LibraryImport(Library, EntryPoint = "g_free")]
    private static partial void Free(nint memory);

    [LibraryImport(Library, EntryPoint = "g_object_unref")]
    private static partial void Unref(nint instance);

    [LibraryImport(Library, EntryPoint = "vips_jpegload_buffer", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int LoadJpeg(byte* bytes, nuint length, out nint image, string name, int failOn, string name2, int access, string name3, int shrink, nint end);

    [LibraryImport(Library, EntryPoint = "vips_image_get_width")]
    private static partial int Width(nint image);

    [LibraryImport(Library, EntryPoint = "vips_image_get_height")]
    private static partial int Height(nint image);

    [LibraryImport(Library, EntryPoint = "vips_colourspace")]
    private static partial int ColourSpace(nint image, out nint result, int interpretation, nint end);

    [LibraryImport(Library, EntryPoint = "vips_thumbnail_image", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Thumbnail(nint image, out nint result, int width, string name, int height, string name2, int size, string name3, int noRotate, nint end);

    [LibraryImport(Library, EntryPoint = "vips_image_new_from_memory")]
    private static partial nint FromMemory(byte* bytes, nuint length, int width, int height, int bands, int format);

    [LibraryImport(Library, EntryPoint = "vips_copy", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Copy(nint image, out nint result, string name, int interpretation, nint end);

    [LibraryImport(Library, EntryPoint = "vips_image_write_to_memory")]
    private static partial byte* WriteToMemory(nint image, out nuint length);
}
