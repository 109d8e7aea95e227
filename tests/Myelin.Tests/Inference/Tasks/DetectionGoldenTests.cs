using System.Text.Json;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Tasks;

/// <summary>
/// Every detector on real photographs from its <c>model.yaml</c> alone, against references whose annotated pictures a
/// person looked at. <c>MYELIN_RECORD=folder</c> writes new references and the pictures to look at there.
/// </summary>
public class DetectionGoldenTests
{
    public static TheoryData<string, string> Cases => new()
    {
        { "faces", "crowd_2.jpg" },
        { "faces", "sinet_obama.jpg" },
        { "faces", "mask_img2.jpeg" },
        { "yunet", "crowd_2.jpg" },
        { "yunet", "sinet_obama.jpg" },
        { "yunet", "mask_img2.jpeg" },
        { "ultraface", "crowd_2.jpg" },
        { "ultraface", "sinet_obama.jpg" },
        { "masks", "mask_img2.jpeg" },
        { "masks", "mask_img3.jpg" },
        { "yolox-nano", "test_object_detection_0.jpg" },
        { "yolox-nano", "test_object_detection_1.jpg" },
        { "yolox-nano", "mlsamples_image2.jpg" },
        { "yolox-nano", "winml_dog.jpg" },
        { "fastestdet", "test_object_detection_0.jpg" },
        { "fastestdet", "winml_dog.jpg" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Detector_SamplePicture_FindsWhatTheReferenceShows(string model, string sample)
    {
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync(model, folder);
        var (json, result) = await VisionModels.Run(task, sample);

        result.Artifacts.Single().Name.ShouldBe("annotated.jpg");
        result.Artifacts.Single().Bytes.Span[..3].ToArray().ShouldBe([0xFF, 0xD8, 0xFF]);
        var reference = Goldens.Compare("detections", $"{model}/{sample}", json, result.Artifacts[0].Bytes);
        var found = json.GetProperty("detections").EnumerateArray().ToList();
        var expected = reference.GetProperty("detections").EnumerateArray().ToList();
        found.Count.ShouldBe(expected.Count);
        foreach (var want in expected)
        {
            var best = found.Where(have => have.GetProperty("label").GetString() == want.GetProperty("label").GetString())
                .Max(have => Overlap(Box(have), Box(want)));
            best.ShouldBeGreaterThanOrEqualTo(0.9, $"no {want.GetProperty("label")} at {want.GetProperty("box")}");
        }
    }

    private static double[] Box(JsonElement detection) => [.. detection.GetProperty("box").EnumerateArray().Select(v => v.GetDouble())];

    private static double Overlap(double[] a, double[] b)
    {
        var width = Math.Min(a[0] + a[2], b[0] + b[2]) - Math.Max(a[0], b[0]);
        var height = Math.Min(a[1] + a[3], b[1] + b[3]) - Math.Max(a[1], b[1]);
        var shared = Math.Max(0, width) * Math.Max(0, height);
        return shared / ((a[2] * a[3]) + (b[2] * b[3]) - shared);
    }
}
