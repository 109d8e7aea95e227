using Myelin.Inference.Tasks.Generation.Sampling;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Generation;

public sealed class TorchNormalTests
{
    [Fact]
    public void Fill_EverySeedAndShape_EqualsTheReferenceAcrossDraws()
    {
        var recordings = Golden.Json("noise.json").EnumerateArray().ToList();
        recordings.Count.ShouldBeGreaterThan(10);
        foreach (var recording in recordings)
        {
            var normal = new TorchNormal(recording.GetProperty("seed").GetUInt64());
            foreach (var draw in (string[])["first", "second"])
            {
                var expected = Golden.Floats(recording.GetProperty(draw));
                var actual = new float[expected.Length];
                normal.Fill(actual);
                if (expected.Length < 16)
                {
                    actual.ShouldBe(expected);
                }

                Golden.LargestDifference(actual, expected).ShouldBeLessThan(5e-7, recording.GetRawText());
            }
        }
    }

    [Fact]
    public void Draw_PictureOfABatch_IsItsPartOfTheBatchsDraw()
    {
        var whole = new float[3 * 40];
        var normal = new TorchNormal(5);
        var parts = Enumerable.Range(0, 3).Select(i => new TorchNoise(5, 3, i)).ToArray();
        for (var draw = 0; draw < 2; draw++)
        {
            normal.Fill(whole);
            for (var i = 0; i < 3; i++)
            {
                var part = new float[40];
                parts[i].Draw(part);
                part.ShouldBe(whole[(i * 40)..((i + 1) * 40)]);
            }
        }
    }
}
