using Myelin.Inference.Imaging;
using Myelin.Inference.Runtimes;

namespace Myelin.Inference.Tasks.Images;

/// <summary>
/// Picture → the network's input tensor. Stateless after construction: any number of pictures at once. One instance
/// belongs to one loaded network, whose signature it was checked against.
/// </summary>
internal sealed class ImagePreprocessor
{
    private readonly ImageInput _input;
    private readonly TensorSpec _spec;
    private readonly float[] _gain;
    private readonly float[] _bias;
    private readonly int[] _plane;

    /// <exception cref="ArgumentException">The section does not fit the network; the message tells the cure.</exception>
    public ImagePreprocessor(ImageInput input, IReadOnlyList<TensorSpec> inputs)
    {
        _input = input;
        _spec = input.Name is null && inputs.Count == 1
            ? inputs[0]
            : inputs.FirstOrDefault(spec => spec.Name == input.Name)
                ?? throw new ArgumentException($"input.name must be one of the network's inputs: {string.Join(", ", inputs.Select(spec => spec.Name))}");
        var shape = Shape(1);
        if (_spec.Shape.Length != 4 || _spec.Shape.Zip(shape).Any(pair => pair.First >= 0 && pair.First != pair.Second))
        {
            throw new ArgumentException(
                $"the network takes [{string.Join(',', _spec.Shape)}] but input.size and input.layout make [{string.Join(',', shape)}]; size is [width, height]");
        }

        if (_spec.Type is not (ElementType.Float32 or ElementType.Float16 or ElementType.UInt8))
        {
            throw new ArgumentException($"the network takes {_spec.Type.WireName()}; a picture can become FP32, FP16 or UINT8");
        }

        // The section counts channels as the network does; the pixels are always red, green, blue.
        _plane = input.Bgr ? [2, 1, 0] : [0, 1, 2];
        _gain = [.. _plane.Select(channel => (float)(input.Scale / input.Deviation[channel]))];
        _bias = [.. _plane.Select(channel => (float)(-input.Mean[channel] / input.Deviation[channel]))];
    }

    /// <summary>The size at which a decoded picture is large enough.</summary>
    public (int Width, int Height) Enough => (_input.Width, _input.Height);

    /// <param name="picture">Decoded; at least as large as <see cref="Enough"/> where the original is.</param>
    /// <param name="runtime">The network that will be called: it gives the memory.</param>
    /// <param name="fit">How the picture lies in the tensor.</param>
    public Tensor Run(Picture picture, IRuntime runtime, out PictureFit fit)
    {
        fit = PictureFit.Of(
            _input.Fit, picture.OriginalWidth, picture.OriginalHeight, _input.Width, _input.Height, _input.Centred, _input.CropRatio);
        using var scaled = PictureScaler.Scale(picture, fit, _input.Width, _input.Height);
        if (_spec.Type == ElementType.UInt8)
        {
            var bytes = runtime.Rent(_spec.Name, ElementType.UInt8, Shape(1));
            Copy(scaled.Pixels.Span, fit, bytes.Bytes.Span);
            return bytes;
        }

        if (_spec.Type == ElementType.Float32)
        {
            var floats = runtime.Rent(_spec.Name, ElementType.Float32, Shape(1));
            Write(scaled.Pixels.Span, fit, floats.As<float>());
            return floats;
        }

        using var whole = Tensor.Rent(_spec.Name, ElementType.Float32, Shape(1));
        Write(scaled.Pixels.Span, fit, whole.As<float>());
        var halves = runtime.Rent(_spec.Name, ElementType.Float16, Shape(1));
        System.Numerics.Tensors.TensorPrimitives.ConvertToHalf(whole.As<float>(), halves.As<Half>());
        return halves;
    }

    private long[] Shape(int batch) => _input.ChannelsFirst
        ? [batch, 3, _input.Height, _input.Width]
        : [batch, _input.Height, _input.Width, 3];

    private void Write(ReadOnlySpan<byte> pixels, PictureFit fit, Span<float> target)
    {
        var (width, height) = (_input.Width, _input.Height);
        var window = fit.Window(width, height);
        if (window.Width < width || window.Height < height)
        {
            Fill(target);
        }

        var plane = width * height;
        for (var y = 0; y < window.Height; y++)
        {
            var row = pixels.Slice(y * window.Width * 3, window.Width * 3);
            var at = ((window.Y + y) * width) + window.X;
            if (_input.ChannelsFirst)
            {
                TensorWriter.Planar(
                    row,
                    target.Slice((_plane[0] * plane) + at, window.Width),
                    target.Slice((_plane[1] * plane) + at, window.Width),
                    target.Slice((_plane[2] * plane) + at, window.Width),
                    _gain,
                    _bias);
            }
            else
            {
                TensorWriter.Interleaved(row, target.Slice(at * 3, (window.Width) * 3), _gain, _bias, _input.Bgr);
            }
        }
    }

    private void Fill(Span<float> target)
    {
        if (_input.ChannelsFirst)
        {
            var plane = _input.Width * _input.Height;
            for (var channel = 0; channel < 3; channel++)
            {
                target.Slice(_plane[channel] * plane, plane).Fill((_input.Pad * _gain[channel]) + _bias[channel]);
            }

            return;
        }

        for (var at = 0; at < target.Length; at++)
        {
            var channel = _plane[at % 3];
            target[at] = (_input.Pad * _gain[channel]) + _bias[channel];
        }
    }

    private void Copy(ReadOnlySpan<byte> pixels, PictureFit fit, Span<byte> target)
    {
        var (width, height) = (_input.Width, _input.Height);
        var window = fit.Window(width, height);
        target.Fill((byte)_input.Pad);
        for (var row = 0; row < window.Height; row++)
        {
            for (var column = 0; column < window.Width; column++)
            {
                var source = ((row * window.Width) + column) * 3;
                var (x, y) = (window.X + column, window.Y + row);
                for (var channel = 0; channel < 3; channel++)
                {
                    var at = _input.ChannelsFirst ? (((_plane[channel] * height) + y) * width) + x : (((y * width) + x) * 3) + _plane[channel];
                    target[at] = pixels[source + channel];
                }
            }
        }
    }
}
