using System.Buffers;
using System.Globalization;
using System.Numerics;
using System.Security;
using System.Text;
using Myelin.Inference.Imaging.Vips;
using NetVips;

namespace Myelin.Inference.Imaging;

/// <summary>
/// What is drawn over a picture, as SVG in the pixels of the original. Strokes and letters grow with the picture, so
/// that they look alike on a thumbnail and on a 12-megapixel photograph. All text is escaped.
/// </summary>
internal sealed class Overlay
{
    /// <summary>A label longer than this ends in an ellipsis.</summary>
    private const int MaxLabel = 60;
    private const int MaxReading = 400;

    private readonly StringBuilder _shapes = new();
    private readonly StringBuilder _labels = new();
    private readonly int _width;
    private readonly int _height;
    private readonly double _stroke;
    private readonly double _font;

    public Overlay(int width, int height)
    {
        (_width, _height) = (width, height);
        var side = Math.Sqrt((double)width * height);
        _stroke = Math.Clamp(side / 320, 1.5, 12);
        _font = Math.Clamp(side / 42, 11, 96);
    }

    public void Box(double x, double y, double width, double height, string colour, string label)
    {
        Append(_shapes, $"<rect x='{x:0.#}' y='{y:0.#}' width='{Math.Max(width, 1):0.#}' height='{Math.Max(height, 1):0.#}' rx='{_stroke:0.#}' fill='none' stroke='{colour}' stroke-width='{_stroke:0.##}'/>");
        Label(x, y, colour, label);
    }

    /// <param name="points">x, y pairs.</param>
    /// <param name="colour">As <c>#rrggbb</c>.</param>
    public void Dots(ReadOnlySpan<float> points, string colour)
    {
        for (var at = 0; at + 1 < points.Length; at += 2)
        {
            Append(_shapes, $"<circle cx='{points[at]:0.#}' cy='{points[at + 1]:0.#}' r='{_stroke * 1.4:0.##}' fill='{colour}' stroke='#ffffff' stroke-width='{_stroke * 0.4:0.##}'/>");
        }
    }

    /// <summary>What was read, written into the quadrilateral it stands in, along its upper side.</summary>
    /// <param name="quad">Corners from the upper left clockwise.</param>
    /// <param name="colour">As <c>#rrggbb</c>.</param>
    /// <param name="text">Shrunk where it would be longer than the quadrilateral.</param>
    public void Reading(IReadOnlyList<Vector2> quad, string colour, string text)
    {
        var (along, down) = (quad[1] - quad[0], quad[3] - quad[0]);
        var upright = down.Length() >= along.Length() * 1.5f;
        var (start, line, height) = upright ? (quad[1], down, along.Length()) : (quad[0], along, down.Length());
        var clean = Clean(text, MaxReading);
        var size = Math.Min(height * 0.78, line.Length() / Math.Max(Width(clean), 0.5));
        var angle = Math.Atan2(line.Y, line.X) * 180 / Math.PI;
        Append(_shapes, $"<polygon points='{string.Join(' ', quad.Select(c => FormattableString.Invariant($"{c.X:0.#},{c.Y:0.#}")))}' fill='#ffffff' fill-opacity='0.86' stroke='{colour}' stroke-width='{_stroke * 0.6:0.##}' stroke-linejoin='round'/>");
        Append(_labels, $"<text transform='translate({start.X:0.#} {start.Y:0.#}) rotate({angle:0.##})' x='0' y='{(height + (size * 0.72)) / 2:0.#}' font-family='{Fonts.Family}' font-weight='bold' font-size='{size:0.##}' fill='#10151c'>{SecurityElement.Escape(clean)}</text>");
    }

    /// <summary>Lines of text in the upper left corner.</summary>
    public void Caption(IReadOnlyList<(string Text, string Colour)> lines)
    {
        for (var index = 0; index < lines.Count; index++)
        {
            Chip(_font * 0.4, _font * (0.4 + (index * 1.5)), lines[index].Colour, lines[index].Text);
        }
    }

    /// <summary>Draws onto the picture and encodes it as JPEG.</summary>
    public byte[] Render(Picture picture, ImagingLimits limits)
    {
        var scale = Math.Min(1, (double)limits.MaxAnnotatedSide / Math.Max(picture.Width, picture.Height));
        var width = Math.Max(1, (int)Math.Round(picture.Width * scale));
        var height = Math.Max(1, (int)Math.Round(picture.Height * scale));
        using var pixels = PictureScaler.Scale(picture, new PictureFit(width, height, 0, 0, scale, scale), width, height);
        if (_shapes.Length + _labels.Length == 0)
        {
            return PictureEncoder.Encode(pixels.Pixels, width, height, PictureFormat.Jpeg, limits.AnnotatedQuality);
        }

        var drawn = ArrayPool<byte>.Shared.Rent(pixels.Pixels.Length);
        try
        {
            pixels.Pixels.CopyTo(drawn);
            Lay(width, height, drawn.AsSpan(0, pixels.Pixels.Length));
            return PictureEncoder.Encode(drawn.AsMemory(0, pixels.Pixels.Length), width, height, PictureFormat.Jpeg, limits.AnnotatedQuality);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(drawn);
        }
    }

    /// <summary>
    /// Renders the SVG and lays it over the pixels. By hand: libvips' composite works on all of both pictures in
    /// floating point, and most of an overlay is empty.
    /// </summary>
    private void Lay(int width, int height, Span<byte> pixels)
    {
        VipsLibrary.Initialise();
        using var buffer = Draw(ToSvg(width, height));
        var layer = buffer.Memory.Span;
        ArgumentOutOfRangeException.ThrowIfNotEqual(layer.Length, width * height * 4, nameof(layer));
        for (var (at, from) = (0, 0); from < layer.Length; at += 3, from += 4)
        {
            var alpha = layer[from + 3];
            if (alpha != 0)
            {
                pixels[at] = Mix(pixels[at], layer[from], alpha);
                pixels[at + 1] = Mix(pixels[at + 1], layer[from + 1], alpha);
                pixels[at + 2] = Mix(pixels[at + 2], layer[from + 2], alpha);
            }
        }

        static byte Mix(byte below, byte above, int alpha) => (byte)(((below * (255 - alpha)) + (above * alpha) + 127) / 255);
    }

    private static IMemoryOwner<byte> Draw(string svg)
    {
        try
        {
            using var image = Image.SvgloadBuffer(Encoding.UTF8.GetBytes(svg));
            return VipsBuffer.Compute(image);
        }
        catch (VipsException)
        {
            throw VipsLibrary.Fault("drawing");
        }
    }

    /// <param name="width">Of the drawing in pixels; the coordinates stay those of the original.</param>
    /// <param name="height">Of the drawing in pixels.</param>
    internal string ToSvg(int width, int height) => string.Create(
        CultureInfo.InvariantCulture,
        $"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {_width} {_height}'>{_shapes}{_labels}</svg>");

    private void Label(double x, double y, string colour, string label)
    {
        var above = y - (_font * 1.4);
        Chip(x - (_stroke / 2), above >= 0 ? above : y, colour, label);
    }

    private void Chip(double x, double y, string colour, string label)
    {
        if (label.Length == 0)
        {
            return;
        }

        var text = Clean(label, MaxLabel);
        var chip = (Width(text) * _font) + (_font * 0.6);
        var left = Math.Clamp(x, 0, Math.Max(0, _width - chip));
        Append(_labels, $"<rect x='{left:0.#}' y='{y:0.#}' width='{chip:0.#}' height='{_font * 1.4:0.#}' rx='{_font * 0.2:0.#}' fill='{colour}'/>");
        Append(_labels, $"<text x='{left + (_font * 0.3):0.#}' y='{y + (_font * 1.03):0.#}' font-family='{Fonts.Family}' font-weight='bold' font-size='{_font:0.#}' fill='{Palette.TextOn(colour)}'>{SecurityElement.Escape(text)}</text>");
    }

    /// <summary>What XML cannot hold is dropped, and a model's label may be any length.</summary>
    private static string Clean(string label, int most)
    {
        var kept = new StringBuilder();
        foreach (var rune in label.EnumerateRunes())
        {
            if (kept.Length >= most)
            {
                kept.Append('…');
                break;
            }

            if (!Rune.IsControl(rune) && rune.Value is not (0xFFFE or 0xFFFF) && rune != Rune.ReplacementChar)
            {
                kept.Append(rune);
            }
        }

        return kept.ToString();
    }

    /// <summary>Width in font sizes, by kind of letter: close enough for a chip behind it.</summary>
    private static double Width(string text)
    {
        var width = 0.0;
        foreach (var rune in text.EnumerateRunes())
        {
            width += rune.Value switch
            {
                'i' or 'j' or 'l' or 'I' or '.' or ',' or ':' or ';' or '\'' or '|' or '!' => 0.38,
                ' ' => 0.35,
                'f' or 't' or 'r' or '(' or ')' or '-' => 0.49,
                'm' or 'w' or 'M' or 'W' or '%' or '@' => 1.02,
                >= 0x2E80 => 1.0,
                >= 'A' and <= 'Z' => 0.76,
                _ => 0.69,
            };
        }

        return width;
    }

    private static void Append(StringBuilder target, FormattableString text) => target.Append(text.ToString(CultureInfo.InvariantCulture));
}
