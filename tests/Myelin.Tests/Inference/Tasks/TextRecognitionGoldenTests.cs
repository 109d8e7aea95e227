using System.Text.Json;
using Myelin.Inference.Imaging;
using Myelin.Inference.Tasks;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Tasks;

/// <summary>The built-in reader against the readings of the reference implementation.</summary>
public class TextRecognitionGoldenTests
{
    [Theory]
    [InlineData("en.jpg")]
    [InlineData("mask_img2.jpeg")]
    [InlineData("mlsamples_Image1.jpg")]
    public async Task TextReader_SamplePicture_ReadsWhatTheReferenceReads(string sample)
    {
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync("text-reader", folder);
        var (json, result) = await VisionModels.Run(task, sample);
        Goldens.Show("texts", $"text-reader/{sample}", json, result.Artifacts.Single().Bytes);

        using var golden = JsonDocument.Parse(File.ReadAllText(Shared.Require("goldens", "ocr.json")));
        var expected = golden.RootElement.GetProperty(sample).EnumerateArray().ToList();
        var found = json.GetProperty("regions").EnumerateArray().ToList();
        var (characters, errors) = (0, 0);
        foreach (var want in expected)
        {
            var text = want.GetProperty("text").GetString()!;
            var near = found.OrderBy(have => Distance(have, want)).Select(have => have.GetProperty("text").GetString()!).FirstOrDefault() ?? "";
            characters += text.Length;
            errors += Math.Min(text.Length, Edits(text, near));
            found.Min(have => Distance(have, want)).ShouldBeLessThanOrEqualTo(2, $"no region where '{text}' stands");
        }

        var read = string.Join(" | ", found.Select(r => r.GetProperty("text").GetString()));
        (1 - ((double)errors / characters)).ShouldBeGreaterThanOrEqualTo(0.95, read);
        found.Count.ShouldBe(expected.Count, read);
    }

    [Fact]
    public async Task TextReader_LinesSideBySide_AreOneLineOfText()
    {
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync("text-reader", folder);
        var (json, _) = await VisionModels.Run(task, "en.jpg", """{"annotate": false}""");

        var text = json.GetProperty("text").GetString()!;
        text.ShouldStartWith("3 MovieShots Dataset\n");
        text.Split('\n').Length.ShouldBe(4);
    }

    /// <summary>One paragraph over and over, cut by strips in other places each time: it reads the same wherever it stands.</summary>
    [Fact]
    public async Task TextReader_PageInStrips_ReadsEachParagraphAlike()
    {
        const int times = 33; // 3.3 megapixels
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync("text-reader", folder);
        using var paragraph = Picture.Decode(await File.ReadAllBytesAsync(Shared.Sample("en.jpg"), TestContext.Current.CancellationToken), new ImagingLimits());
        var page = Enumerable.Repeat(paragraph.Pixels.ToArray(), times).SelectMany(p => p).ToArray();

        var result = await task.RunAsync(
            VisionModels.Picture(PictureEncoder.Encode(page, paragraph.Width, paragraph.Height * times, PictureFormat.Png), """{"annotate": false}"""),
            new Progress<TaskProgress>(), TestContext.Current.CancellationToken);

        using var json = JsonDocument.Parse(result.Json);
        var texts = json.RootElement.GetProperty("regions").EnumerateArray().GroupBy(r => (int)(Centre(r).Y / paragraph.Height)).OrderBy(g => g.Key)
            .Select(g => string.Join(' ', g.OrderBy(r => Centre(r).Y).ThenBy(r => Centre(r).X).Select(r => r.GetProperty("text").GetString()))).ToList();
        texts.Count.ShouldBe(times);
        texts[0].Length.ShouldBeGreaterThan(100, texts[0]);
        texts.ShouldAllBe(text => Edits(texts[times / 2], text) <= texts[0].Length / 10);
    }

    private static double Distance(JsonElement a, JsonElement b)
    {
        var (ax, ay) = Centre(a);
        var (bx, by) = Centre(b);
        return Math.Abs(ax - bx) + Math.Abs(ay - by);
    }

    private static (double X, double Y) Centre(JsonElement region)
    {
        var corners = region.GetProperty("quad").EnumerateArray().ToList();
        return (corners.Average(c => c[0].GetDouble()), corners.Average(c => c[1].GetDouble()));
    }

    private static int Edits(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var (diagonal, left) = (row[0], i);
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                left = Math.Min(Math.Min(row[j] + 1, left + 1), diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                (diagonal, row[j]) = (row[j], left);
            }
        }

        return row[b.Length];
    }
}
