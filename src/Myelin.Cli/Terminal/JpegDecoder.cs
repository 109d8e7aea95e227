namespace Myelin.Cli.Terminal;

/// <summary>
/// Decodes the small baseline JPEGs (ITU T.81, sequential, 8 bit, grey or YCbCr) that servers send as previews, so that
/// terminals without a JPEG decoder of their own can show them. Anything else is null: a preview may be missed.
/// </summary>
internal sealed class JpegDecoder
{
    /// <summary>Longest side of a preview; larger is not decoded.</summary>
    private const int MaxSide = 2048;

    private static ReadOnlySpan<byte> ZigZag =>
    [
        0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
        35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
    ];

    private static readonly float[] s_cosines = Cosines();

    private readonly byte[] _data;
    private readonly int[][] _quantisers = new int[4][];
    private readonly HuffmanTable?[] _dc = new HuffmanTable?[4];
    private readonly HuffmanTable?[] _ac = new HuffmanTable?[4];
    private Component[] _components = [];
    private int _width;
    private int _height;
    private int _restartInterval;
    private int _at;
    private int _bits;
    private int _bitCount;

    private JpegDecoder(byte[] data) => _data = data;

    /// <summary>The picture, or null for what this decoder does not read.</summary>
    public static RgbPicture? TryDecode(byte[] data)
    {
        try
        {
            return new JpegDecoder(data).Decode();
        }
        catch (Exception e) when (e is InvalidDataException or IndexOutOfRangeException or ArgumentException or InvalidOperationException or NullReferenceException)
        {
            // Truncated or damaged bytes run out of a table or of the buffer; the arrays' own checks are the guard.
            return null;
        }
    }

    private RgbPicture? Decode()
    {
        if (U16() != 0xFFD8)
        {
            return null;
        }

        while (true)
        {
            var marker = U16();
            var length = U16() - 2;
            var end = _at + length;
            switch (marker)
            {
                case 0xFFDB:
                    ReadQuantisers(end);
                    break;
                case 0xFFC4:
                    ReadHuffman(end);
                    break;
                case 0xFFC0 or 0xFFC1:
                    ReadFrame();
                    break;
                case 0xFFDD:
                    _restartInterval = U16();
                    break;
                case 0xFFDA:
                    ReadScanHeader();
                    _at = end;
                    ReadScan();
                    return Assemble();
                case 0xFFC2:
                    return null;
                default:
                    break;
            }

            _at = marker > 0xFF00 && length >= 0 ? end : throw new InvalidDataException("no marker");
        }
    }

    private void ReadQuantisers(int end)
    {
        while (_at < end)
        {
            var info = _data[_at++];
            var table = new int[64];
            for (var i = 0; i < 64; i++)
            {
                table[ZigZag[i]] = info >> 4 == 0 ? _data[_at++] : U16();
            }

            _quantisers[info & 3] = table;
        }
    }

    private void ReadHuffman(int end)
    {
        while (_at < end)
        {
            var info = _data[_at++];
            var counts = _data.AsSpan(_at, 16).ToArray();
            _at += 16;
            var total = counts.Sum(c => c);
            var table = new HuffmanTable(counts, _data.AsSpan(_at, total).ToArray());
            _at += total;
            (info >> 4 == 0 ? _dc : _ac)[info & 3] = table;
        }
    }

    private void ReadFrame()
    {
        var precision = _data[_at++];
        _height = U16();
        _width = U16();
        var count = _data[_at++];
        if (precision != 8 || count is not (1 or 3) || _width is 0 or > MaxSide || _height is 0 or > MaxSide)
        {
            throw new InvalidDataException("not a baseline preview");
        }

        _components = new Component[count];
        for (var i = 0; i < count; i++, _at += 3)
        {
            _components[i] = new(_data[_at], _data[_at + 1] >> 4, _data[_at + 1] & 15, _data[_at + 2] & 3);
            if (_components[i] is { Horizontal: 0 or > 4 } or { Vertical: 0 or > 4 })
            {
                throw new InvalidDataException("sampling");
            }
        }

        if (count == 1)
        {
            // One component is never interleaved: its blocks come one by one whatever its factors say.
            _components[0] = _components[0] with { Horizontal = 1, Vertical = 1 };
        }
    }

    private void ReadScanHeader()
    {
        var count = _data[_at++];
        if (count != _components.Length)
        {
            throw new InvalidDataException("several scans");
        }

        for (var i = 0; i < count; i++, _at += 2)
        {
            var component = _components.First(c => c.Id == _data[_at]);
            component.Dc = _dc[_data[_at + 1] >> 4 & 3];
            component.Ac = _ac[_data[_at + 1] & 3];
        }
    }

    private void ReadScan()
    {
        int maxH = _components.Max(c => c.Horizontal), maxV = _components.Max(c => c.Vertical);
        int across = (_width + (8 * maxH) - 1) / (8 * maxH), down = (_height + (8 * maxV) - 1) / (8 * maxV);
        foreach (var c in _components)
        {
            c.Stride = across * c.Horizontal * 8;
            c.Plane = new byte[c.Stride * down * c.Vertical * 8];
        }

        var coefficients = new float[64];
        for (var unit = 0; unit < across * down; unit++)
        {
            if (_restartInterval > 0 && unit > 0 && unit % _restartInterval == 0)
            {
                Restart();
            }

            foreach (var c in _components)
            {
                for (var block = 0; block < c.Horizontal * c.Vertical; block++)
                {
                    ReadBlock(c, coefficients);
                    var x = ((unit % across * c.Horizontal) + (block % c.Horizontal)) * 8;
                    var y = ((unit / across * c.Vertical) + (block / c.Horizontal)) * 8;
                    Transform(coefficients, c.Plane.AsSpan((y * c.Stride) + x), c.Stride);
                }
            }
        }
    }

    private void ReadBlock(Component c, float[] coefficients)
    {
        Array.Clear(coefficients);
        var quantiser = _quantisers[c.Quantiser];
        c.Predictor += Extend(c.Dc!.Read(this));
        coefficients[0] = c.Predictor * quantiser[0];
        for (var k = 1; k < 64; k++)
        {
            var symbol = c.Ac!.Read(this);
            var size = symbol & 15;
            if (size == 0)
            {
                if (symbol != 0xF0)
                {
                    break;
                }

                k += 15;
                continue;
            }

            k += symbol >> 4;
            var index = ZigZag[k];
            coefficients[index] = Extend(size) * quantiser[index];
        }
    }

    private void Restart()
    {
        _bitCount = 0;
        while (_data[_at] != 0xFF || _data[_at + 1] is < 0xD0 or > 0xD7)
        {
            _at++;
        }

        _at += 2;
        foreach (var c in _components)
        {
            c.Predictor = 0;
        }
    }

    private int Bit()
    {
        if (_bitCount == 0)
        {
            _bits = _data[_at];
            if (_bits == 0xFF && _data[_at + 1] != 0)
            {
                _bits = 0; // A marker: the encoder's data ended; zeros finish the last block.
            }
            else
            {
                _at += _bits == 0xFF ? 2 : 1;
            }

            _bitCount = 8;
        }

        return _bits >> --_bitCount & 1;
    }

    private int Extend(int size)
    {
        var value = 0;
        for (var i = 0; i < size; i++)
        {
            value = (value << 1) | Bit();
        }

        return size > 0 && value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
    }

    private int U16() => (_data[_at++] << 8) | _data[_at++];

    // Separable inverse DCT by its definition: previews are small, and this is checked at a glance.
    private static void Transform(float[] coefficients, Span<byte> plane, int stride)
    {
        Span<float> rows = stackalloc float[64];
        for (var v = 0; v < 8; v++)
        {
            for (var x = 0; x < 8; x++)
            {
                var sum = 0f;
                for (var u = 0; u < 8; u++)
                {
                    sum += coefficients[(v * 8) + u] * s_cosines[(x * 8) + u];
                }

                rows[(v * 8) + x] = sum;
            }
        }

        for (var x = 0; x < 8; x++)
        {
            for (var y = 0; y < 8; y++)
            {
                var sum = 0f;
                for (var v = 0; v < 8; v++)
                {
                    sum += rows[(v * 8) + x] * s_cosines[(y * 8) + v];
                }

                plane[(y * stride) + x] = (byte)Math.Clamp(sum + 128.5f, 0, 255);
            }
        }
    }

    private RgbPicture Assemble()
    {
        var pixels = new byte[_width * _height * 3];
        int maxH = _components.Max(c => c.Horizontal), maxV = _components.Max(c => c.Vertical);
        for (var y = 0; y < _height; y++)
        {
            for (var x = 0; x < _width; x++)
            {
                float luma = Sample(0), cb = 0, cr = 0;
                if (_components.Length == 3)
                {
                    cb = Sample(1) - 128;
                    cr = Sample(2) - 128;
                }

                var i = ((y * _width) + x) * 3;
                pixels[i] = Byte(luma + (1.402f * cr));
                pixels[i + 1] = Byte(luma - (0.344136f * cb) - (0.714136f * cr));
                pixels[i + 2] = Byte(luma + (1.772f * cb));

                float Sample(int n)
                {
                    var c = _components[n];
                    return c.Plane[(y * c.Vertical / maxV * c.Stride) + (x * c.Horizontal / maxH)];
                }
            }
        }

        return new(_width, _height, pixels);
    }

    private static byte Byte(float value) => (byte)Math.Clamp(value + 0.5f, 0, 255);

    private static float[] Cosines()
    {
        var table = new float[64];
        for (var x = 0; x < 8; x++)
        {
            for (var u = 0; u < 8; u++)
            {
                table[(x * 8) + u] = (float)(Math.Cos(((2 * x) + 1) * u * Math.PI / 16) * (u == 0 ? Math.Sqrt(0.125) : 0.5));
            }
        }

        return table;
    }

    private sealed record Component(byte Id, int Horizontal, int Vertical, int Quantiser)
    {
        public HuffmanTable? Dc { get; set; }

        public HuffmanTable? Ac { get; set; }

        public int Predictor { get; set; }

        public int Stride { get; set; }

        public byte[] Plane { get; set; } = [];
    }

    /// <summary>Canonical codes, walked bit by bit.</summary>
    private sealed class HuffmanTable(byte[] counts, byte[] symbols)
    {
        public int Read(JpegDecoder source)
        {
            int code = 0, first = 0, index = 0;
            foreach (var count in counts)
            {
                code |= source.Bit();
                if (code - first < count)
                {
                    return symbols[index + code - first];
                }

                index += count;
                first = (first + count) << 1;
                code <<= 1;
            }

            throw new InvalidDataException("no such code");
        }
    }
}
