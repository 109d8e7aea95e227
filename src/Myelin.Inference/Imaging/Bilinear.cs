namespace Myelin.Inference.Imaging;

/// <summary>
/// Plain two-by-two interpolation with pixel centres at half coordinates and without low-pass, in the fixed point of
/// OpenCV's default resize, to the bit. For networks whose readings depend on the sampling they were trained with; else use libvips.
/// </summary>
internal static class Bilinear
{
    private const int One = 2048;

    /// <param name="source">RGB, interleaved.</param>
    /// <param name="width">Of the source.</param>
    /// <param name="height">Of the source.</param>
    /// <param name="target">Receives <paramref name="targetWidth"/> × <paramref name="targetHeight"/> × 3 bytes.</param>
    /// <param name="targetWidth">Of the target.</param>
    /// <param name="targetHeight">Of the target.</param>
    public static void Resize(ReadOnlySpan<byte> source, int width, int height, Span<byte> target, int targetWidth, int targetHeight)
    {
        var columns = Weights(width, targetWidth);
        var rows = Weights(height, targetHeight);
        var (upper, lower) = (new int[targetWidth * 3], new int[targetWidth * 3]);
        var (upperRow, lowerRow) = (-1, -1);
        for (var y = 0; y < targetHeight; y++)
        {
            var row = rows[y];
            if (row.First == lowerRow)
            {
                (upper, lower, upperRow, lowerRow) = (lower, upper, lowerRow, upperRow);
            }

            if (row.First != upperRow)
            {
                Across(source.Slice(row.First * width * 3, width * 3), columns, upper);
                upperRow = row.First;
            }

            if (row.Second != lowerRow)
            {
                Across(source.Slice(row.Second * width * 3, width * 3), columns, lower);
                lowerRow = row.Second;
            }

            Down(upper, lower, row.FirstWeight, row.SecondWeight, target.Slice(y * targetWidth * 3, targetWidth * 3));
        }
    }

    private static void Across(ReadOnlySpan<byte> row, Weight[] columns, int[] target)
    {
        var at = 0;
        foreach (var column in columns)
        {
            var (left, right) = (column.First * 3, column.Second * 3);
            target[at++] = (row[left] * column.FirstWeight) + (row[right] * column.SecondWeight);
            target[at++] = (row[left + 1] * column.FirstWeight) + (row[right + 1] * column.SecondWeight);
            target[at++] = (row[left + 2] * column.FirstWeight) + (row[right + 2] * column.SecondWeight);
        }
    }

    private static void Down(ReadOnlySpan<int> upper, ReadOnlySpan<int> lower, int above, int below, Span<byte> target)
    {
        for (var x = 0; x < target.Length; x++)
        {
            target[x] = (byte)((((above * (upper[x] >> 4)) >> 16) + ((below * (lower[x] >> 4)) >> 16) + 2) >> 2);
        }
    }

    private static Weight[] Weights(int length, int targetLength)
    {
        var weights = new Weight[targetLength];
        for (var at = 0; at < targetLength; at++)
        {
            var position = (float)(((at + 0.5) * ((double)length / targetLength)) - 0.5);
            var first = (int)MathF.Floor(position);
            var part = position - first;
            if (first < 0)
            {
                (first, part) = (0, 0);
            }
            else if (first >= length - 1)
            {
                (first, part) = (length - 1, 0);
            }

            weights[at] = new Weight(first, Math.Min(first + 1, length - 1), (int)MathF.Round((1 - part) * One), (int)MathF.Round(part * One));
        }

        return weights;
    }

    /// <summary>Two neighbours and their parts of <see cref="One"/>.</summary>
    private readonly record struct Weight(int First, int Second, int FirstWeight, int SecondWeight);
}
