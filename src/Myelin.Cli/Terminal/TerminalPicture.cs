using System.Globalization;
using System.Text;

namespace Myelin.Cli.Terminal;

/// <summary>Turns a picture into the escape sequences that show it in a box of <c>columns × rows</c> characters.</summary>
internal static class TerminalPicture
{
    /// <summary>Pixels of one character cell, as sixel terminals commonly have them.</summary>
    private const int CellWidth = 10;
    private const int CellHeight = 20;

    /// <summary>The sequence, beginning at the cursor; null where the bytes cannot be shown that way.</summary>
    /// <param name="bytes">A JPEG or PNG file.</param>
    public static string? Render(Graphics graphics, byte[] bytes, int columns, int rows) => graphics switch
    {
        Graphics.Kitty when IsPng(bytes) => Kitty(bytes, "f=100", columns, rows),
        Graphics.Kitty => JpegDecoder.TryDecode(bytes) is { } p ? Kitty(p.Pixels, $"f=24,s={p.Width},v={p.Height}", columns, rows) : null,
        Graphics.Iterm2 => $"\e]1337;File=inline=1;size={bytes.Length};width={columns};height={rows};preserveAspectRatio=1:{Convert.ToBase64String(bytes)}\a",
        Graphics.Sixel => JpegDecoder.TryDecode(bytes) is { } p ? Sixel(p, columns * CellWidth, rows * CellHeight) : null,
        Graphics.Blocks => JpegDecoder.TryDecode(bytes) is { } p ? Blocks(p, columns, rows) : null,
        _ => null,
    };

    private static bool IsPng(byte[] bytes) => bytes is [0x89, (byte)'P', (byte)'N', (byte)'G', ..];

    // https://sw.kovidgoyal.net/kitty/graphics-protocol: chunks of 4096, q=2 = no answers, C=1 = the cursor stays.
    private static string Kitty(byte[] payload, string format, int columns, int rows)
    {
        var text = Convert.ToBase64String(payload);
        var escape = new StringBuilder();
        for (var at = 0; at < text.Length; at += 4096)
        {
            var chunk = text.AsSpan(at, Math.Min(4096, text.Length - at));
            var head = at == 0 ? $"a=T,{format},i=77,p=1,c={columns},r={rows},C=1,q=2," : "";
            escape.Append(CultureInfo.InvariantCulture, $"\e_G{head}m={(at + 4096 < text.Length ? 1 : 0)};{chunk}\e\\");
        }

        return escape.ToString();
    }

    private static string Blocks(RgbPicture picture, int columns, int rows)
    {
        var text = new StringBuilder();
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < columns; column++)
            {
                var (r, g, b) = picture.Mean(column, row * 2, columns, rows * 2);
                var (r2, g2, b2) = picture.Mean(column, (row * 2) + 1, columns, rows * 2);
                text.Append(CultureInfo.InvariantCulture, $"\e[38;2;{r};{g};{b};48;2;{r2};{g2};{b2}m▀");
            }

            text.Append("\e[0m").Append(row < rows - 1 ? "\r\n" : "");
        }

        return text.ToString();
    }

    // DEC sixel over a fixed 6×6×6 cube: no palette to compute at four pictures a second.
    private static string Sixel(RgbPicture picture, int width, int height)
    {
        var text = new StringBuilder("\ePq");
        for (var i = 0; i < 216; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"#{i};2;{i / 36 * 20};{i / 6 % 6 * 20};{i % 6 * 20}");
        }

        var colours = new int[width * height];
        for (var i = 0; i < colours.Length; i++)
        {
            var (r, g, b) = picture.At(i % width * picture.Width / width, i / width * picture.Height / height);
            colours[i] = ((r + 25) / 51 * 36) + ((g + 25) / 51 * 6) + ((b + 25) / 51);
        }

        for (var band = 0; band < height; band += 6)
        {
            SixelBand(text, colours, width, Math.Min(6, height - band), band);
        }

        return text.Append("\e\\").ToString();
    }

    private static void SixelBand(StringBuilder text, int[] colours, int width, int lines, int top)
    {
        var used = colours.AsSpan(top * width, lines * width).ToArray().Distinct();
        foreach (var colour in used)
        {
            text.Append('#').Append(colour.ToString(CultureInfo.InvariantCulture));
            var (last, run) = ('\0', 0);
            for (var x = 0; x <= width; x++)
            {
                var bits = 0;
                for (var y = 0; x < width && y < lines; y++)
                {
                    bits |= colours[((top + y) * width) + x] == colour ? 1 << y : 0;
                }

                var symbol = (char)('?' + bits);
                if (x == width || (symbol != last && run > 0))
                {
                    text.Append(run > 3 ? $"!{run}{last}" : new string(last, run));
                    run = 0;
                }

                last = symbol;
                run++;
            }

            text.Append('$');
        }

        text.Append('-');
    }
}
