using Myelin.Cli.Terminal;
using Myelin.Inference.Imaging;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Cli;

public sealed class TerminalTests
{
    [Theory]
    [InlineData("samples/sign.jpg")]
    [InlineData("samples/portrait.jpg")]
    public async Task Jpeg_OfASample_IsDecodedLikeLibvips(string file)
    {
        var bytes = await File.ReadAllBytesAsync(Path.Combine(Shared.Root, file), TestContext.Current.CancellationToken);
        var mine = JpegDecoder.TryDecode(bytes).ShouldNotBeNull();
        mine.Width.ShouldBe(1200);
        mine.Height.ShouldBe(800);

        // libjpeg smooths chroma between samples, this decoder repeats them: edges may differ, areas may not.
        var expected = Reference(bytes);
        Enumerable.Range(0, mine.Pixels.Length / 101).Average(i => Math.Abs(mine.Pixels[i * 101] - expected[i * 101])).ShouldBeLessThan(1.5);
    }

    [Fact]
    public void Jpeg_CutAnywhere_NeverThrows()
    {
        var bytes = Pictures.Jpeg(64, 48);
        for (var length = 0; length < bytes.Length; length++)
        {
            Should.NotThrow(() => JpegDecoder.TryDecode(bytes[..length]));
        }

        var random = new Random(7);
        for (var round = 0; round < 2000; round++)
        {
            var damaged = (byte[])bytes.Clone();
            damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
            Should.NotThrow(() => JpegDecoder.TryDecode(damaged), $"round {round}");
        }
    }

    [Theory]
    [InlineData("xterm-kitty", "", "Kitty")]
    [InlineData("xterm-256color", "iTerm.app", "Iterm2")]
    [InlineData("foot", "", "Sixel")]
    [InlineData("xterm-256color", "", "None")]
    public void Graphics_Terminal_IsRecognised(string term, string program, string expected) =>
        GraphicsDetection.Detect(name => name switch { "TERM" => term, "TERM_PROGRAM" => program, _ => null }).ToString().ShouldBe(expected);

    [Fact]
    public void Graphics_InsideAMultiplexer_AreOff() =>
        GraphicsDetection.Detect(name => name switch { "TERM" => "xterm-kitty", "TMUX" => "/tmp/tmux", _ => null }).ShouldBe(Graphics.None);

    [Fact]
    public void Picture_InEveryForm_HasItsFrame()
    {
        var jpeg = Pictures.Jpeg(64, 64);
        TerminalPicture.Render(Graphics.Kitty, jpeg, 8, 4)!.ShouldStartWith("\e_Ga=T,f=24,s=64,v=64,");
        TerminalPicture.Render(Graphics.Iterm2, jpeg, 8, 4)!.ShouldContain(Convert.ToBase64String(jpeg));
        TerminalPicture.Render(Graphics.Sixel, jpeg, 8, 4)!.ShouldStartWith("\ePq#0;2;0;0;0");
        TerminalPicture.Render(Graphics.Blocks, jpeg, 8, 4)!.Count(c => c == '▀').ShouldBe(32);
        TerminalPicture.Render(Graphics.Blocks, "no picture"u8.ToArray(), 8, 4).ShouldBeNull();
    }

    [Fact]
    public void Plain_ControlCharacters_CannotSteerTheTerminal() =>
        Readable.Plain("a\e]52;c;cm0=\ab\u009b").ShouldBe("a\uFFFD]52;c;cm0=\uFFFDb\uFFFD");

    private static byte[] Reference(byte[] jpeg)
    {
        using var picture = Picture.Decode(jpeg, new ImagingLimits());
        return picture.Pixels.ToArray();
    }
}
