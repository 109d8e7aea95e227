using Myelin.Inference.Tasks.ImageToImage;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.ImageToImage;

public sealed class TilesTests
{
    [Theory]
    [InlineData(1, 8, 2)]
    [InlineData(8, 8, 2)]
    [InlineData(9, 8, 2)]
    [InlineData(100, 8, 3)]
    [InlineData(1000, 224, 16)]
    public void Tiles_AnyLength_CoverItWithTheOverlapAsked(int length, int tile, int overlap)
    {
        var tiles = new Tiles(length, tile, overlap);
        tiles.Start(0).ShouldBe(0);
        (tiles.Start(tiles.Count - 1) + tile).ShouldBe(Math.Max(length, tile));
        for (var i = 1; i < tiles.Count; i++)
        {
            (tiles.Start(i - 1) + tile - tiles.Start(i)).ShouldBeGreaterThanOrEqualTo(overlap);
        }

        Enumerable.Range(0, tiles.Count).SelectMany(i => tiles.Weights(i, 3)).ShouldAllBe(w => w > 0 && w <= 1);
        Enumerable.Range(0, 3 * length).Select(tiles.Mirror).ShouldAllBe(at => at >= 0 && at < length);
    }

    [Fact]
    public void Canvas_TilesOfOnePicture_GiveItBack()
    {
        var (columns, rows) = (new Tiles(37, 16, 5), new Tiles(11, 16, 5));
        var canvas = new Canvas(37, 11, 1);
        for (var column = 0; column < columns.Count; column++)
        {
            var tile = new float[16 * 16];
            for (var i = 0; i < tile.Length; i++)
            {
                tile[i] = columns.Start(column) + (i % 16) + (100 * (i / 16));
            }

            canvas.Add(tile, columns.Start(column), 0, columns.Weights(column, 1), rows.Weights(0, 1));
        }

        for (var at = 0; at < 37 * 11; at++)
        {
            canvas.Value(0, at).ShouldBe((at % 37) + (100 * (at / 37)), 1e-3f);
        }
    }
}
