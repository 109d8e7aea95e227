using BitMiracle.LibJpeg.Classic;

namespace Myelin.Cli.Terminal;

/// <summary>
/// Decodes the small JPEGs that servers send as previews, so that terminals without a JPEG decoder of their own can show
/// them. What is damaged, large or of another kind is null: a preview may be missed.
/// </summary>
internal static class JpegDecoder
{
    /// <summary>Longest side of a preview; larger is not decoded.</summary>
    private const int MaxSide = 2048;

    /// <summary>The picture, or null for what is not such a preview.</summary>
    public static RgbPicture? TryDecode(byte[] data)
    {
        try
        {
            return Decode(new MemoryStream(data, writable: false));
        }
        catch (Exception)
        {
            // The library throws bare exceptions, and on damage whatever its arrays throw.
            return null;
        }
    }

    private static RgbPicture? Decode(Stream data)
    {
        var jpeg = new jpeg_decompress_struct(new Strict());
        jpeg.jpeg_stdio_src(data);
        jpeg.jpeg_read_header(require_image: true);
        if (jpeg.Image_width > MaxSide || jpeg.Image_height > MaxSide)
        {
            return null;
        }

        jpeg.Out_color_space = J_COLOR_SPACE.JCS_RGB;
        jpeg.jpeg_start_decompress();
        var picture = new RgbPicture(jpeg.Output_width, jpeg.Output_height, new byte[jpeg.Output_width * jpeg.Output_height * 3]);
        var row = new byte[picture.Width * 3];
        while (jpeg.Output_scanline < picture.Height)
        {
            var at = jpeg.Output_scanline * row.Length;
            jpeg.jpeg_read_scanlines([row], 1);
            row.CopyTo(picture.Pixels, at);
        }

        return picture;
    }

    /// <summary>A warning is damage as well, and nothing is written to the console.</summary>
    private sealed class Strict : jpeg_error_mgr
    {
        public override void emit_message(int msg_level)
        {
            if (msg_level < 0)
            {
                error_exit();
            }
        }

        public override void error_exit() => throw new InvalidDataException(format_message());

        public override void output_message()
        {
        }
    }
}
