using System.Text.Json;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks.Generation.Pipeline;
using Myelin.Inference.Tasks.Images;

namespace Myelin.Inference.Tasks.ImageToImage;

/// <summary>
/// Picture → picture through a network of one pass and a fixed size (style transfer, super-resolution). A picture of
/// any size is cut into overlapping tiles, each an event of progress, whose seams are blended.
/// </summary>
internal sealed class ImageToImageTask(ImageToImageSettings settings, IRuntime runtime, ImagingLimits limits, TimeProvider time) : ITask
{
    private static readonly string[] s_formats = ["png", "jpeg", "webp"];

    public static TaskKind Kind { get; } = new(
        TaskNames.ImageToImage,
        static (reader, _) => ImageToImageSettings.Bind(reader),
        static _ => [("", "model.onnx")],
        static _ => new TaskContract(
            TaskNames.ImageToImage,
            [ParameterSpecs.Image],
            [new ModelParameter("format", "string", "Of the result") { Choices = s_formats, Default = JsonSerializer.SerializeToElement(s_formats[0]) }]),
        CreateAsync);

    public async Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken)
    {
        var started = time.GetTimestamp();
        using var picture = await Task.Run(() => ImageFile.Decode(input, limits), cancellationToken).ConfigureAwait(false);
        var (width, height) = (picture.Width * settings.Scale, picture.Height * settings.Scale);
        if (width / 1e6 * height > settings.MaxMegapixels)
        {
            throw new InputException(
                "input.image", $"the result would have {width}×{height} pixels; at most {settings.MaxMegapixels} megapixels are made. Send a smaller picture", InputErrorCode.TooLarge);
        }

        var canvas = await PaintAsync(picture, width, height, progress, cancellationToken).ConfigureAwait(false);
        var format = Format(input.Parameters);
        var bytes = await Task.Run(
            () => PictureEncoder.Encode(settings.Luma ? WithColour(picture, canvas, width, height) : Interleave(canvas, width, height), width, height, format, 92),
            cancellationToken).ConfigureAwait(false);
        var name = $"image.{(format == PictureFormat.Jpeg ? "jpg" : format.ToString().ToLowerInvariant())}";
        return new TaskResult(
            TaskJson.Object(json => Write(json, name, width, height, time.GetElapsedTime(started))),
            [new TaskArtifact(name, format.ContentType(), bytes)]);
    }

    /// <summary>The picture, and 16 bytes a pixel of the canvas besides what is encoded.</summary>
    public MemoryNeed MemoryOf(TaskInput input) => ImageFile.Memory(input, limits, 6 + (22.0 * settings.Scale * settings.Scale));

    public ValueTask DisposeAsync() => runtime.DisposeAsync();

    private static async Task<ITask> CreateAsync(ModelDefinition definition, IRuntimeSource source, ImagingLimits limits, CancellationToken cancellationToken)
    {
        var settings = TaskLoader.Bind(definition, ImageToImageSettings.Bind);
        return TaskLoader.Use(
            await source.OpenAsync("model.onnx", cancellationToken).ConfigureAwait(false),
            runtime =>
            {
                long[] wanted = [1, settings.Luma ? 1 : 3, settings.Height, settings.Width];
                if (runtime.Inputs.Count != 1 || runtime.Inputs[0].Shape is not { Length: 4 } shape || shape.Zip(wanted).Any(p => p.First >= 0 && p.First != p.Second))
                {
                    var given = string.Join(", ", runtime.Inputs.Select(i => $"{i.Name} [{string.Join(',', i.Shape)}]"));
                    throw TaskLoader.Misfit("input", $"makes [{string.Join(',', wanted)}], but the network takes {given}");
                }

                return new ImageToImageTask(settings, runtime, limits, TimeProvider.System);
            });
    }

    private async Task<Canvas> PaintAsync(Picture picture, int width, int height, IProgress<TaskProgress> progress, CancellationToken cancellationToken)
    {
        var started = time.GetTimestamp();
        var columns = new Tiles(picture.Width, settings.Width, settings.Overlap);
        var rows = new Tiles(picture.Height, settings.Height, settings.Overlap);
        var (channels, spec, scale) = (settings.Luma ? 1 : 3, runtime.Inputs[0], settings.Scale);
        var canvas = new Canvas(width, height, channels);
        var count = columns.Count * rows.Count;
        for (var tile = 0; tile < count; tile++)
        {
            var (column, row) = (tile % columns.Count, tile / columns.Count);
            using var input = runtime.Rent(spec.Name, spec.Type, 1, channels, settings.Height, settings.Width);
            TensorValues.Write(input, 0, Cut(picture, columns, rows, column, row));
            using var outputs = await runtime.InferAsync([input], cancellationToken).ConfigureAwait(false);
            var values = TensorValues.Read(outputs[0]);
            if (values.Length != channels * settings.Width * scale * settings.Height * scale)
            {
                throw new RuntimeException($"the network gave [{string.Join(',', outputs[0].Shape)}], which is not its input times output.scale {scale}", retryable: false);
            }

            canvas.Add(values, columns.Start(column) * scale, rows.Start(row) * scale, columns.Weights(column, scale), rows.Weights(row, scale));
            progress.Report(new TaskProgress(tile + 1, count, time.GetElapsedTime(started).TotalSeconds / (tile + 1)));
        }

        return canvas;
    }

    /// <summary>A tile's pixels as the network takes them, planar.</summary>
    private float[] Cut(Picture picture, Tiles columns, Tiles rows, int column, int row)
    {
        var (width, height) = (settings.Width, settings.Height);
        var pixels = picture.Pixels.Span;
        var plane = width * height;
        var values = new float[settings.Luma ? plane : 3 * plane];
        var factor = settings.White / 255;
        for (var y = 0; y < height; y++)
        {
            var from = rows.Mirror(rows.Start(row) + y) * picture.Width;
            for (var x = 0; x < width; x++)
            {
                var pixel = pixels.Slice((from + columns.Mirror(columns.Start(column) + x)) * 3, 3);
                var at = (y * width) + x;
                if (settings.Luma)
                {
                    values[at] = Luma(pixel[0], pixel[1], pixel[2]) * factor;
                    continue;
                }

                for (var channel = 0; channel < 3; channel++)
                {
                    values[(channel * plane) + at] = pixel[settings.Bgr ? 2 - channel : channel] * factor;
                }
            }
        }

        return values;
    }

    private byte[] Interleave(Canvas canvas, int width, int height)
    {
        var pixels = new byte[width * height * 3];
        for (var at = 0; at < width * height; at++)
        {
            for (var channel = 0; channel < 3; channel++)
            {
                pixels[(at * 3) + channel] = Byte(canvas.Value(settings.Bgr ? 2 - channel : channel, at) * 255 / settings.White);
            }
        }

        return pixels;
    }

    /// <summary>The network's brightness with the colour of the picture, enlarged bicubically: only the difference in brightness is put on.</summary>
    private byte[] WithColour(Picture picture, Canvas canvas, int width, int height)
    {
        var fit = PictureFit.Of(FitMode.Stretch, picture.Width, picture.Height, width, height, centred: false, cropRatio: 1);
        using var enlarged = PictureScaler.Scale(picture, fit, width, height);
        var colour = enlarged.Pixels.Span;
        var pixels = new byte[width * height * 3];
        for (var at = 0; at < width * height; at++)
        {
            var pixel = colour.Slice(at * 3, 3);
            var difference = (canvas.Value(0, at) * 255 / settings.White) - Luma(pixel[0], pixel[1], pixel[2]);
            for (var channel = 0; channel < 3; channel++)
            {
                pixels[(at * 3) + channel] = Byte(pixel[channel] + difference);
            }
        }

        return pixels;
    }

    private static PictureFormat Format(JsonElement parameters)
    {
        var name = parameters.ValueKind == JsonValueKind.Object && parameters.TryGetProperty("format", out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : s_formats[0];
        return name switch
        {
            "png" => PictureFormat.Png,
            "jpeg" => PictureFormat.Jpeg,
            "webp" => PictureFormat.WebP,
            _ => throw new InputException("parameters.format", $"must be one of: {string.Join(", ", s_formats)}"),
        };
    }

    private static float Luma(byte red, byte green, byte blue) => (0.299f * red) + (0.587f * green) + (0.114f * blue);

    private static byte Byte(float value) => float.IsNaN(value) ? (byte)0 : (byte)MathF.Round(Math.Clamp(value, 0, 255));

    private static void Write(Utf8JsonWriter json, string artifact, int width, int height, TimeSpan total)
    {
        json.WriteStartArray("images");
        json.WriteStartObject();
        json.WriteString("artifact", artifact);
        json.WriteNumber("width", width);
        json.WriteNumber("height", height);
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteStartObject("timings");
        json.WriteNumber("totalMs", Math.Round(total.TotalMilliseconds, 3));
        json.WriteEndObject();
    }
}
