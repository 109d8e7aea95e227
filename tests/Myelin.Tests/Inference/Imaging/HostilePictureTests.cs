using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Imaging.Vips;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Imaging;

/// <summary>Bad bytes are the caller's error, named and bounded: never another exception, never much memory.</summary>
public class HostilePictureTests
{
    private const string Svg = """
        <?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>
        <svg xmlns="http://www.w3.org/2000/svg" width="100" height="100"><text y="20">&x;</text></svg>
        """;

    public static TheoryData<string, byte[], InputErrorCode> Cases => new()
    {
        { "empty", [], InputErrorCode.Invalid },
        { "one byte", [0xFF], InputErrorCode.UnsupportedMediaType },
        { "text", "hello"u8.ToArray(), InputErrorCode.UnsupportedMediaType },
        { "svg with external entity", Encoding.UTF8.GetBytes(Svg), InputErrorCode.UnsupportedMediaType },
        { "svg behind jpeg's magic", [0xFF, 0xD8, 0xFF, .. Encoding.UTF8.GetBytes(Svg)], InputErrorCode.Invalid },
        { "pdf", "%PDF-1.4 1 0 obj"u8.ToArray(), InputErrorCode.UnsupportedMediaType },
        { "png of 50,000 x 50,000", Png(50_000, 50_000, 10), InputErrorCode.TooLarge },
        { "png of 2^31 x 2^31", Png(int.MaxValue, int.MaxValue, 10), InputErrorCode.Invalid },
        { "zip bomb png of 20,000 x 20,000", Png(20_000, 20_000, 20_000), InputErrorCode.TooLarge },
        { "strip of 1 x 40,000", Png(1, 40_000, 40_000), InputErrorCode.TooLarge },
        { "png that ends early", Png(400, 400, 100), InputErrorCode.Invalid },
        { "png of no size", Png(0, 0, 1), InputErrorCode.Invalid },
        { "magic of jpeg alone", [0xFF, 0xD8, 0xFF], InputErrorCode.Invalid },
        { "magic of gif alone", "GIF89a"u8.ToArray(), InputErrorCode.Invalid },
        { "magic of webp alone", "RIFF\0\0\0\0WEBP"u8.ToArray(), InputErrorCode.Invalid },
        { "magic of tiff alone", [(byte)'I', (byte)'I', 42, 0], InputErrorCode.Invalid },
        { "magic of avif alone", [0, 0, 0, 16, .. "ftypavif\0\0\0\0"u8], InputErrorCode.Invalid },
        { "heic", [0, 0, 0, 24, .. "ftypheic\0\0\0\0mif1heic"u8], InputErrorCode.UnsupportedMediaType },
    };

    [Theory]
    [MemberData(nameof(Cases), DisableDiscoveryEnumeration = true)]
    public void Decode_BadBytes_IsAnInputErrorThatNamesTheField(string name, byte[] bytes, InputErrorCode code)
    {
        var error = Should.Throw<InputException>(() => Picture.Decode(bytes, new ImagingLimits()).Dispose(), name);

        error.Field.ShouldBe("input.image");
        error.Code.ShouldBe(code, $"{name}: {error.Message}");
        error.Message.Length.ShouldBeInRange(10, 500);
    }

    [Theory]
    [InlineData(0.02)]
    [InlineData(0.5)]
    [InlineData(0.9)]
    [InlineData(0.99)]
    public void Decode_TruncatedJpeg_IsRefused(double part)
    {
        var bytes = File.ReadAllBytes(Shared.Sample("winml_dog.jpg"));

        var error = Should.Throw<InputException>(() => Picture.Decode(bytes.AsMemory(0, (int)(bytes.Length * part)), new ImagingLimits()).Dispose());

        error.Message.ShouldContain("damaged or incomplete");
    }

    /// <summary>libvips has one buffer of errors for the process: what it holds may be another picture's, or cut off.</summary>
    [Fact]
    public async Task Decode_SixteenBrokenPicturesAtOnce_EachIsToldItsOwnCause()
    {
        string[] kinds = ["jpeg", "png", "webp", "gif", "tiff", "heif"];
        (string File, string Kind)[] files =
        [
            ("rgb.jpg", "jpeg"), ("cmyk.jpg", "jpeg"), ("rgb.png", "png"), ("rgba16.png", "png"), ("rgb.webp", "webp"), ("palette.gif", "gif"), ("rgb.tif", "tiff"), ("rgb.avif", "heif"),
        ];
        var broken = files.SelectMany(f => new[] { 0.4, 0.7 }.Select(part => (f.Kind, Bytes: Scene.Read(f.File)[..(int)(Scene.Read(f.File).Length * part)]))).ToArray();
        broken.Length.ShouldBe(16);
        var alone = await Task.WhenAll(broken.Select(b => CauseAsync(b.Bytes)));
        for (var index = 0; index < broken.Length; index++)
        {
            alone[index].ShouldContain("damaged or incomplete: ", Case.Sensitive, broken[index].Kind);
            kinds.Where(k => k != broken[index].Kind && alone[index].Contains(k, StringComparison.OrdinalIgnoreCase)).ShouldBeEmpty(alone[index]);
        }

        using var start = new Barrier(broken.Length);
        var told = await Task.WhenAll(broken.Select(picture => Task.Factory.StartNew(
            async () =>
            {
                start.SignalAndWait(TestContext.Current.CancellationToken);
                var causes = new HashSet<string>();
                for (var round = 0; round < 40; round++)
                {
                    causes.Add(await CauseAsync(picture.Bytes));
                }

                return causes.ToArray();
            },
            TestContext.Current.CancellationToken,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default).Unwrap()));

        told.ShouldAllBe(causes => causes.Length == 1);
        told.Select(causes => causes[0]).ShouldBe(alone);

    }

    /// <summary>Whoever waits for the second copy of libvips holds no thread: refused pictures would take the pool's from everybody.</summary>
    [Fact]
    public async Task Cause_WhileAnotherIsSought_HoldsNoThread()
    {
        var token = TestContext.Current.CancellationToken;
        var whole = Scene.Read("rgb.png");
        var broken = whole.AsMemory(0, whole.Length / 2);
        var refusal = Should.Throw<InputException>(() => Picture.Decode(broken, new ImagingLimits()).Dispose());
        await DamageReport.Gate.WaitAsync(token);
        Task<InputException>[] waiting;
        try
        {
            waiting = [.. Enumerable.Range(0, 100).Select(_ => refusal.ExplainedAsync(token))]; // on this one thread
            waiting.ShouldAllBe(one => !one.IsCompleted);
        }
        finally
        {
            DamageReport.Gate.Release();
        }

        (await Task.WhenAll(waiting)).ShouldAllBe(one => one.Message.Contains("damaged or incomplete: ", StringComparison.Ordinal));
    }

    private static async Task<string> CauseAsync(byte[] bytes) =>
        (await Should.Throw<InputException>(() => Picture.Decode(bytes, new ImagingLimits()).Dispose()).ExplainedAsync(TestContext.Current.CancellationToken)).Message;

    [Theory]
    [InlineData("rgb.png")]
    [InlineData("rgb.jpg")]
    [InlineData("rgb.webp")]
    [InlineData("rgb.tif")]
    [InlineData("rgb.avif")]
    [InlineData("palette.gif")]
    [InlineData("orientation6.jpg")]
    public void Decode_BytesChangedAtRandom_GivesAPictureOrAnInputError(string file)
    {
        const int seed = 20_260_101;
        var random = new Random(seed);
        var original = Scene.Read(file);
        for (var round = 0; round < 150; round++)
        {
            var bytes = original.ToArray();
            for (var change = random.Next(1, 12); change > 0; change--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                Picture.Decode(bytes, new ImagingLimits()).Dispose();
            }
            catch (InputException)
            {
                // the caller's error, as it should be; anything else fails the test
            }
            catch (Exception fault)
            {
                Assert.Fail($"{file}, seed {seed}, round {round}: {fault}");
            }
        }
    }

    [Fact]
    public void Decode_ZipBombWithinTheLimits_TakesNoMoreThanItsPixels()
    {
        // 36 megapixels in 40 kB: allowed, and 108 MB at most while it lives.
        var bytes = Png(6_000, 6_000, 6_000);
        bytes.Length.ShouldBeLessThan(200_000);

        using var picture = Picture.Decode(bytes, new ImagingLimits());

        picture.Pixels.Length.ShouldBe(108_000_000);
    }

    [Fact]
    public void Decode_TwelveMegabytesOfExif_IsReadOrRefused()
    {
        var picture = Scene.Read("rgb.jpg");
        var segment = new byte[65_000];
        "Exif\0\0"u8.CopyTo(segment);
        using var stream = new MemoryStream();
        stream.Write(picture, 0, 2);
        for (var count = 0; count < 190; count++)
        {
            stream.Write([0xFF, 0xE1, (byte)((segment.Length + 2) >> 8), (byte)((segment.Length + 2) & 255)]);
            stream.Write(segment);
        }

        stream.Write(picture, 2, picture.Length - 2);

        try
        {
            using var decoded = Picture.Decode(stream.ToArray(), new ImagingLimits());
            decoded.Width.ShouldBe(64);
        }
        catch (InputException error)
        {
            error.Field.ShouldBe("input.image");
        }
    }

    [Fact]
    public void Decode_MoreBytesThanAllowed_IsRefusedUnread()
    {
        var error = Should.Throw<InputException>(() => Picture.Decode(Scene.Read("rgb.png"), new ImagingLimits { MaxBytes = 100 }).Dispose());

        error.Code.ShouldBe(InputErrorCode.TooLarge);
        error.Message.ShouldContain("the limit is 100");
    }

    [Fact]
    public void Header_MoreMegapixelsThanAllowed_NamesSizeAndLimit()
    {
        var error = Should.Throw<InputException>(() => PictureHeader.Read(Png(9_000, 9_000, 1), new ImagingLimits()));

        error.Message.ShouldBe("the picture is 9000×9000, 81.0 megapixels; the limit is 50");
        error.Code.ShouldBe(InputErrorCode.TooLarge);
    }

    /// <summary>A black grey-scale PNG that announces a size and holds <paramref name="rows"/> rows of it.</summary>
    private static byte[] Png(int width, int height, int rows)
    {
        using var stream = new MemoryStream();
        stream.Write([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]);
        var header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        header[8] = 8;
        Chunk(stream, "IHDR"u8, header);
        using var packed = new MemoryStream();
        using (var zlib = new ZLibStream(packed, CompressionLevel.SmallestSize, leaveOpen: true))
        {
            var row = new byte[Math.Min(width, 50_000) + 1];
            for (var index = 0; index < rows; index++)
            {
                zlib.Write(row);
            }
        }

        Chunk(stream, "IDAT"u8, packed.ToArray());
        Chunk(stream, "IEND"u8, []);
        return stream.ToArray();
    }

    private static void Chunk(MemoryStream stream, ReadOnlySpan<byte> name, byte[] content)
    {
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, content.Length);
        stream.Write(number);
        stream.Write(name);
        stream.Write(content);
        BinaryPrimitives.WriteUInt32BigEndian(number, Crc([.. name, .. content]));
        stream.Write(number);
    }

    private static uint Crc(byte[] bytes)
    {
        var crc = uint.MaxValue;
        foreach (var value in bytes)
        {
            crc ^= value;
            for (var bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ ((crc & 1) * 0xEDB88320u);
            }
        }

        return ~crc;
    }
}
