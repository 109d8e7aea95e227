using System.Runtime.InteropServices;

namespace Myelin.Inference.Imaging.Vips;

/// <summary>
/// The C API of libvips. Its operations are variadic (name, value … 0): declared here with the arguments that are
/// used. No double goes through the variadic part, where the calling convention would differ.
/// </summary>
internal static unsafe partial class VipsNative
{
    /// <summary>npm's library under the name that the project file gives it beside the program.</summary>
    private const string Library = "libvips-cpp.so.42";

    public const int Sequential = 1;
    public const int FailOnError = 2;
    public const int SizeForce = 3;
    public const int FormatUChar = 0;
    public const int InterpretationSRgb = 22;

    [LibraryImport(Library, EntryPoint = "vips_init", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Init(string name);

    [LibraryImport(Library, EntryPoint = "g_log_set_default_handler")]
    public static partial nint SetLogHandler(delegate* unmanaged<nint, int, nint, nint, void> handler, nint data);

    [LibraryImport(Library, EntryPoint = "vips_concurrency_set")]
    public static partial void SetConcurrency(int threads);

    [LibraryImport(Library, EntryPoint = "vips_cache_set_max")]
    public static partial void SetCacheMax(int operations);

    [LibraryImport(Library, EntryPoint = "vips_block_untrusted_set")]
    public static partial void BlockUntrusted(int state);

    [LibraryImport(Library, EntryPoint = "vips_operation_block_set", StringMarshalling = StringMarshalling.Utf8)]
    public static partial void Block(string operation, int state);

    [LibraryImport(Library, EntryPoint = "vips_error_buffer_copy")]
    public static partial nint TakeError();

    [LibraryImport(Library, EntryPoint = "g_free")]
    public static partial void Free(nint memory);

    [LibraryImport(Library, EntryPoint = "g_object_unref")]
    public static partial void Unref(nint instance);

    [LibraryImport(Library, EntryPoint = "vips_jpegload_buffer", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int LoadJpeg(byte* bytes, nuint length, out VipsImage image, string name, int failOn, string name2, int access, string name3, int shrink, nint end);

    [LibraryImport(Library, EntryPoint = "vips_pngload_buffer", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int LoadPng(byte* bytes, nuint length, out VipsImage image, string name, int failOn, string name2, int access, nint end);

    [LibraryImport(Library, EntryPoint = "vips_webpload_buffer", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int LoadWebP(byte* bytes, nuint length, out VipsImage image, string name, int failOn, string name2, int access, nint end);

    [LibraryImport(Library, EntryPoint = "vips_heifload_buffer", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int LoadHeif(byte* bytes, nuint length, out VipsImage image, string name, int failOn, string name2, int access, nint end);

    [LibraryImport(Library, EntryPoint = "vips_gifload_buffer", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int LoadGif(byte* bytes, nuint length, out VipsImage image, string name, int failOn, string name2, int access, nint end);

    [LibraryImport(Library, EntryPoint = "vips_tiffload_buffer", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int LoadTiff(byte* bytes, nuint length, out VipsImage image, string name, int failOn, string name2, int access, nint end);

    [LibraryImport(Library, EntryPoint = "vips_svgload_buffer")]
    public static partial int LoadSvg(byte* bytes, nuint length, out VipsImage image, nint end);

    [LibraryImport(Library, EntryPoint = "vips_image_get_width")]
    public static partial int Width(VipsImage image);

    [LibraryImport(Library, EntryPoint = "vips_image_get_height")]
    public static partial int Height(VipsImage image);

    [LibraryImport(Library, EntryPoint = "vips_image_get_bands")]
    public static partial int Bands(VipsImage image);

    [LibraryImport(Library, EntryPoint = "vips_image_get_format")]
    public static partial int Format(VipsImage image);

    [LibraryImport(Library, EntryPoint = "vips_image_get_interpretation")]
    public static partial int Interpretation(VipsImage image);

    [LibraryImport(Library, EntryPoint = "vips_image_get_orientation")]
    public static partial int Orientation(VipsImage image);

    [LibraryImport(Library, EntryPoint = "vips_image_get_n_pages")]
    public static partial int Pages(VipsImage image);

    [LibraryImport(Library, EntryPoint = "vips_image_hasalpha")]
    public static partial int HasAlpha(VipsImage image);

    [LibraryImport(Library, EntryPoint = "vips_image_get_typeof", StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint TypeOf(VipsImage image, string field);

    [LibraryImport(Library, EntryPoint = "vips_image_get_blob", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int GetBlob(VipsImage image, string field, out byte* bytes, out nuint length);

    [LibraryImport(Library, EntryPoint = "vips_autorot")]
    public static partial int AutoRotate(VipsImage image, out VipsImage result, nint end);

    [LibraryImport(Library, EntryPoint = "vips_colourspace")]
    public static partial int ColourSpace(VipsImage image, out VipsImage result, int interpretation, nint end);

    [LibraryImport(Library, EntryPoint = "vips_icc_transform", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int IccTransform(VipsImage image, out VipsImage result, string profile, string name, int embedded, nint end);

    [LibraryImport(Library, EntryPoint = "vips_array_double_new")]
    public static partial nint NewDoubles(double* values, int count);

    [LibraryImport(Library, EntryPoint = "vips_area_unref")]
    public static partial void UnrefArea(nint area);

    [LibraryImport(Library, EntryPoint = "vips_flatten", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Flatten(VipsImage image, out VipsImage result, string name, nint background, nint end);

    [LibraryImport(Library, EntryPoint = "vips_thumbnail_image", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Thumbnail(VipsImage image, out VipsImage result, int width, string name, int height, string name2, int size, string name3, int noRotate, nint end);

    [LibraryImport(Library, EntryPoint = "vips_extract_area")]
    public static partial int ExtractArea(VipsImage image, out VipsImage result, int left, int top, int width, int height, nint end);

    [LibraryImport(Library, EntryPoint = "vips_image_new_from_memory")]
    public static partial VipsImage FromMemory(byte* bytes, nuint length, int width, int height, int bands, int format);

    [LibraryImport(Library, EntryPoint = "vips_copy", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Copy(VipsImage image, out VipsImage result, string name, int interpretation, nint end);

    [LibraryImport(Library, EntryPoint = "vips_image_write_to_memory")]
    public static partial byte* WriteToMemory(VipsImage image, out nuint length);

    [LibraryImport(Library, EntryPoint = "vips_image_write_to_buffer", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int WriteToBuffer(VipsImage image, string suffix, out byte* bytes, out nuint length, nint end);
}
