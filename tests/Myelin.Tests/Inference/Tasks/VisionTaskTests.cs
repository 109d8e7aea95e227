using System.Text.Json;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Tasks;

/// <summary>What all tasks on pictures have in common.</summary>
public class VisionTaskTests
{
    [Fact]
    public async Task Detection_WithoutAnnotation_FindsTheSameAndStoresNothing()
    {
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync("yolox-nano", folder);
        var (with, drawn) = await VisionModels.Run(task, "winml_dog.jpg");
        var (without, bare) = await VisionModels.Run(task, "winml_dog.jpg", """{"annotate": false}""");

        drawn.Artifacts.Count.ShouldBe(1);
        bare.Artifacts.ShouldBeEmpty();
        Labels(without).ShouldBe(Labels(with));
        without.GetProperty("width").GetInt32().ShouldBe(with.GetProperty("width").GetInt32());
    }

    [Fact]
    public async Task Detection_ThresholdAndMaximum_AreObeyed()
    {
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync("yolox-nano", folder);

        var (sure, _) = await VisionModels.Run(task, "test_object_detection_0.jpg", """{"threshold": 0.85, "annotate": false}""");
        var (two, _) = await VisionModels.Run(task, "test_object_detection_0.jpg", """{"maxDetections": 2, "annotate": false}""");

        sure.GetProperty("detections").EnumerateArray().ShouldAllBe(d => d.GetProperty("score").GetDouble() >= 0.85);
        sure.GetProperty("detections").GetArrayLength().ShouldBe(4);
        two.GetProperty("detections").GetArrayLength().ShouldBe(2);
    }

    [Fact]
    public async Task Detection_AnyThreshold_KeepsBoxesInsideThePicture()
    {
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync("yolox-nano", folder);

        var (json, _) = await VisionModels.Run(task, "test_object_detection_0.jpg", """{"threshold": 0, "iou": 1, "maxDetections": 10000, "annotate": false}""");

        var (width, height) = (json.GetProperty("width").GetDouble(), json.GetProperty("height").GetDouble());
        var found = json.GetProperty("detections").EnumerateArray().ToList();
        found.Count.ShouldBeGreaterThan(1000);
        foreach (var box in found.Select(d => d.GetProperty("box").EnumerateArray().Select(v => v.GetDouble()).ToArray()))
        {
            box[0].ShouldBeGreaterThanOrEqualTo(0);
            box[1].ShouldBeGreaterThanOrEqualTo(0);
            (box[0] + box[2]).ShouldBeLessThanOrEqualTo(width + 0.02);
            (box[1] + box[3]).ShouldBeLessThanOrEqualTo(height + 0.02);
        }
    }

    [Fact]
    public async Task Faces_Landmarks_LieInTheFaceInCocosForm()
    {
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync("faces", folder);
        var (json, _) = await VisionModels.Run(task, "sinet_obama.jpg");

        json.GetProperty("keypointNames").GetArrayLength().ShouldBe(6);
        var face = json.GetProperty("detections")[0];
        var box = face.GetProperty("box").EnumerateArray().Select(v => v.GetDouble()).ToArray();
        var points = face.GetProperty("keypoints").EnumerateArray().Select(v => v.GetDouble()).ToArray();
        points.Length.ShouldBe(18);
        for (var point = 0; point < 6; point++)
        {
            points[3 * point].ShouldBeInRange(box[0] - 10, box[0] + box[2] + 10);
            points[(3 * point) + 1].ShouldBeInRange(box[1] - 10, box[1] + box[3] + 10);
            points[(3 * point) + 2].ShouldBe(2);
        }

        points[0].ShouldBeLessThan(points[3], "the right eye stands left in the picture");
        points[1].ShouldBeLessThan(points[10], "eyes stand above the mouth");
    }

    [Fact]
    public async Task Detection_TurnedByExif_GivesBoxesAsAPersonSeesThem()
    {
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync("faces", folder);
        var bytes = await File.ReadAllBytesAsync(Shared.Sample("sinet_obama.jpg"));
        var straight = await Run(task, bytes);

        // Stored upside down, with the note how to turn it.
        using var picture = Picture.Decode(bytes, new ImagingLimits());
        var turned = new byte[picture.Pixels.Length];
        for (var pixel = 0; pixel < turned.Length / 3; pixel++)
        {
            picture.Pixels.Span.Slice(pixel * 3, 3).CopyTo(turned.AsSpan(turned.Length - 3 - (pixel * 3)));
        }

        var jpeg = PictureEncoder.Encode(turned, picture.Width, picture.Height, PictureFormat.Jpeg, 95);
        byte[] exif = [0xFF, 0xE1, 0, 34, .. "Exif\0\0MM\0*\0\0\0\b\0\u0001\u0001\u0012\0\u0003\0\0\0\u0001\0\u0003\0\0\0\0\0\0"u8];
        var again = await Run(task, [.. jpeg[..2], .. exif, .. jpeg[2..]]);

        var (a, b) = (Box(straight), Box(again));
        for (var side = 0; side < 4; side++)
        {
            b[side].ShouldBe(a[side], 12);
        }

        static double[] Box(JsonElement json) => [.. json.GetProperty("detections").EnumerateArray().Single().GetProperty("box").EnumerateArray().Select(v => v.GetDouble())];
    }

    [Fact]
    public async Task Detection_ExtremeStrip_IsAnAnswerOrTheCallersError()
    {
        using var folder = new TemporaryFolder();
        var strip = PictureEncoder.Encode(new byte[29_000 * 3], 29_000, 1, PictureFormat.Png);
        foreach (var model in new[] { "faces", "yolox-nano", "ultraface", "shufflenet-v2", "text-reader" })
        {
            await using var task = await VisionModels.LoadAsync(model, folder);
            try
            {
                await task.RunAsync(VisionModels.Picture(strip), new Progress<TaskProgress>(), CancellationToken.None);
            }
            catch (InputException error)
            {
                error.Message.ShouldContain("too narrow");
            }
        }
    }

    [Fact]
    public async Task Task_NoPicture_NamesThePart()
    {
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync("faces", folder);
        var input = new TaskInput(new Dictionary<string, TaskFile>(), default);

        var error = await Should.ThrowAsync<InputException>(task.RunAsync(input, new Progress<TaskProgress>(), CancellationToken.None));

        error.Field.ShouldBe("input.image");
    }

    [Fact]
    public async Task Tasks_ManyAtOnceOneCancelled_OnlyThatOneEnds()
    {
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync("text-reader", folder);
        var bytes = await File.ReadAllBytesAsync(Shared.Sample("mask_img2.jpeg"));
        using var cancel = new CancellationTokenSource();
        var runs = Enumerable.Range(0, 4)
            .Select(index => task.RunAsync(
                VisionModels.Picture(bytes, """{"annotate": false}"""), new Progress<TaskProgress>(), index == 1 ? cancel.Token : CancellationToken.None))
            .ToList();
        await Task.Delay(50);
        await cancel.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(runs[1]);
        var texts = await Task.WhenAll(runs.Where(run => run != runs[1]));
        texts.ShouldAllBe(result => JsonDocument.Parse(result.Json).RootElement.GetProperty("regions").GetArrayLength() == 4);
    }

    [Theory]
    [InlineData("yolox-nano", "labels: coco.txt", "labels: [one, two]", "output.decoder")]
    [InlineData("yolox-nano", "[416, 416]", "[320, 320]", "input output.decoder")]
    [InlineData("yolox-nano", "decoder: yolox", "decoder: fastestdet", "output.decoder")]
    [InlineData("yunet", "labels: [face]", "labels: [face, hand]", "output.decoder")]
    [InlineData("ultraface", "labels: [face]", "labels: [face, hand]", "output.decoder")]
    [InlineData("ultraface", "[320, 240]", "[240, 320]", "input")]
    [InlineData("cifar10", "labels: [airplane,", "labels: [", "labels")]
    public async Task Load_YamlThatDoesNotFitTheNetwork_SaysWhatTheNetworkHas(string model, string from, string to, string keys)
    {
        using var folder = new TemporaryFolder();
        var path = Path.Combine(VisionModels.Folder(model, folder), "model.yaml");
        File.WriteAllText(path, File.ReadAllText(path).Replace(from, to, StringComparison.Ordinal));
        var definition = ModelFolder.Load(Path.GetDirectoryName(path)!)[0];

        var error = await Should.ThrowAsync<ModelException>(() => TaskLoader.CreateAsync(definition, new OnnxOptions(), new ImagingLimits(), CancellationToken.None));

        string.Join(' ', error.Errors.Select(e => e.Key)).ShouldBe(keys, error.Message);
    }

    [Fact]
    public async Task Load_FileThatIsNoNetwork_IsAModelError()
    {
        using var folder = new TemporaryFolder();
        folder.Write("broken/model.yaml", "task: tensor");
        folder.Write("broken/1/model.onnx", "no network");
        var definition = ModelFolder.Load(Path.Combine(folder.Path, "broken"))[0];

        (await Should.ThrowAsync<ModelException>(() => TaskLoader.CreateAsync(definition, new OnnxOptions(), new ImagingLimits(), CancellationToken.None)))
            .Errors.Single().Message.ShouldContain("model.onnx does not load");
    }

    private static IEnumerable<string?> Labels(JsonElement json) =>
        json.GetProperty("detections").EnumerateArray().Select(d => d.GetProperty("label").GetString());

    private static async Task<JsonElement> Run(ITask task, byte[] bytes) =>
        JsonDocument.Parse((await task.RunAsync(VisionModels.Picture(bytes), new Progress<TaskProgress>(), CancellationToken.None)).Json).RootElement;
}
