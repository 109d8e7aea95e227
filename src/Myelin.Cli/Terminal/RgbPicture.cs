namespace Myelin.Cli.Terminal;

/// <summary>A small decoded picture: 3 bytes a pixel, rows from the top.</summary>
internal sealed record RgbPicture(int Width, int Height, byte[] Pixels)
{
    public (byte R, byte G, byte B) At(int x, int y)
    {
        var i = ((y * Width) + x) * 3;
        return (Pixels[i], Pixels[i + 1], Pixels[i + 2]);
    }

    /// <summary>Mean colour of the area that one cell of a coarser grid covers.</summary>
    public (byte R, byte G, byte B) Mean(int column, int row, int columns, int rows)
    {
        int x0 = column * Width / columns, x1 = Math.Max(x0 + 1, (column + 1) * Width / columns);
        int y0 = row * Height / rows, y1 = Math.Max(y0 + 1, (row + 1) * Height / rows);
        int r = 0, g = 0, b = 0, n = (x1 - x0) * (y1 - y0);
        for (var y = y0; y < y1; y++)
        {
            for (var x = x0; x < x1; x++)
            {
                var p = At(x, y);
                r += p.R;
                g += p.G;
                b += p.B;
            }
        }

        return ((byte)(r / n), (byte)(g / n), (byte)(b / n));
    }
}
