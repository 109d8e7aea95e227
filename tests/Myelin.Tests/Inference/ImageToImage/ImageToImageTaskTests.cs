using System.Text.Json;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.ImageToImage;

public sealed class ImageToImageTaskTests
{
    private static readonly CancellationToken s_token = TestContext.Current.CancellationToken;

    [Fact]
    public async Task SuperResolution_ShrunkPhotographs_AreCloserToTheOriginalThanBicubic()
    {
        await using var model = await LoadAsync("super-resolution", "pytorch_super_resolution.onnx");
        foreach (var sample in (string[])["winml_cat.jpg", "crowd_2.jpg", "winml_dog.jpg"])
        {
            using var photograph = Picture.Decode(File.ReadAllBytes(Shared.Sample(sample)), new ImagingLimits());
            var (width, height) = (Math.Min(photograph.Width, 900) / 3, Math.Min(photograph.Height, 700) / 3);
            var original = Resize(photograph, width * 3, height * 3);
            using var large = Decode(original, width * 3, height * 3);
            var small = PictureEncoder.Encode(Resize(large, width, height), width, height, PictureFormat.Png);
            using var shrunk = Picture.Decode(small, new ImagingLimits());

            var result = await model.Task.RunAsync(Input(small), new Progress<TaskProgress>(), s_token);
            using var enlarged = Picture.Decode(result.Artifacts.Single().Bytes, new ImagingLimits());

            (enlarged.Width, enlarged.Height).ShouldBe((width * 3, height * 3));
            var bicubic = Noise(Resize(shrunk, width * 3, height * 3), original);
            var network = Noise(enlarged.Pixels.ToArray(), original);
            TestContext.Current.SendDiagnosticMessage($"{sample}: bicubic {bicubic:F2} dB, network {network:F2} dB");
            network.ShouldBeGreaterThan(bicubic);
        }
    }

    [Theory]
    [InlineData("candy", "candy.onnx", "winml_kitten_224.png")]
    [InlineData("la-muse", "la_muse.onnx", "mlsamples_Image1.jpg")]
    public async Task Style_PictureOfAnySize_KeepsItsSizeAndChangesItsLook(string name, string weights, string sample)
    {
        await using var model = await LoadAsync(name, weights);
        var bytes = File.ReadAllBytes(Shared.Sample(sample));
        var events = new List<TaskProgress>();
        var result = await model.Task.RunAsync(Input(bytes, "jpeg"), new Collect(events), s_token);

        using var before = Picture.Decode(bytes, new ImagingLimits());
        using var after = Picture.Decode(result.Artifacts.Single().Bytes, new ImagingLimits());
        (after.Width, after.Height).ShouldBe((before.Width, before.Height));
        result.Artifacts.Single().Name.ShouldBe("image.jpg");
        var difference = after.Pixels.ToArray().Zip(before.Pixels.ToArray(), (a, b) => Math.Abs(a - b)).Average();
        difference.ShouldBeInRange(10, 120);
        events[^1].Step.ShouldBe(events[^1].Steps);
        if (Environment.GetEnvironmentVariable("MYELIN_TEST_OUTPUT") is { } folder)
        {
            File.WriteAllBytes(Path.Combine(folder, $"{name}.jpg"), result.Artifacts.Single().Bytes.ToArray());
        }
    }

    [Fact]
    public async Task Run_ResultTooLarge_IsRefusedByField()
    {
        await using var model = await LoadAsync("super-resolution", "pytorch_super_resolution.onnx", "output: {scale: 3, overlap: 16, maxMegapixels: 0.1}");
        var fault = await Should.ThrowAsync<InputException>(() => model.Task.RunAsync(Input(File.ReadAllBytes(Shared.Sample("winml_cat.jpg"))), new Progress<TaskProgress>(), s_token));
        (fault.Field, fault.Code).ShouldBe(("input.image", InputErrorCode.TooLarge));
    }

    [Fact]
    public async Task Load_SizeThatTheNetworkDoesNotTake_NamesTheKey() =>
        (await Should.ThrowAsync<ModelException>(() => LoadAsync("candy", "candy.onnx", "input: {size: [368, 368]}"))).Errors.Single().Key.ShouldBe("input");

    private static TaskInput Input(byte[] picture, string format = "png") => new(
        new Dictionary<string, TaskFile> { ["image"] = new("image/jpeg", picture) }, JsonSerializer.SerializeToElement(new { format }));

    /// <summary>The catalogue's model.yaml with the mirror's weights; <paramref name="instead"/> replaces the line of its key.</summary>
    private static async Task<Model> LoadAsync(string name, string weights, string? instead = null)
    {
        var folder = Directory.CreateTempSubdirectory("myelin-").FullName;
        var model = Path.Combine(folder, name);
        Directory.CreateDirectory(Path.Combine(model, "1"));
        var lines = File.ReadAllLines(Path.Combine(Shared.Root, "models", "catalogue", name, "model.yaml"))
            .Where(line => instead is null || line.Split(':')[0] != instead.Split(':')[0]);
        File.WriteAllLines(Path.Combine(model, "model.yaml"), instead is null ? lines : lines.Append(instead));
        File.WriteAllBytes(Path.Combine(model, "1", "model.onnx"), File.ReadAllBytes(Shared.Zoo(weights)));
        return new Model(await TaskLoader.CreateAsync(ModelFolder.Load(model).Single(), new OnnxOptions(), new ImagingLimits(), s_token), folder);
    }

    private sealed record Model(ITask Task, string Folder) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await Task.DisposeAsync();
            Directory.Delete(Folder, recursive: true);
        }
    }

    private static Picture Decode(byte[] pixels, int width, int height) =>
        Picture.Decode(PictureEncoder.Encode(pixels, width, height, PictureFormat.Png), new ImagingLimits());

    private static byte[] Resize(Picture picture, int width, int height)
    {
        using var scaled = PictureScaler.Scale(picture, PictureFit.Of(FitMode.Stretch, picture.Width, picture.Height, width, height, false, 1), width, height);
        return scaled.Pixels.ToArray();
    }

    /// <summary>Peak signal to noise in decibels.</summary>
    private static double Noise(byte[] actual, byte[] expected) =>
        10 * Math.Log10(255 * 255 / actual.Zip(expected, (a, e) => (double)(a - e) * (a - e)).Average());

    private sealed class Collect(List<TaskProgress> events) : IProgress<TaskProgress>
    {
        public void Report(TaskProgress value) => events.Add(value);
    }
}
