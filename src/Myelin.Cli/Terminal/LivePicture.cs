namespace Myelin.Cli.Terminal;

/// <summary>
/// A progress line on standard error with, above it, the picture as it comes into being. Draws over itself; leaves the
/// last picture and an empty line behind. Used by one command at a time.
/// </summary>
internal sealed class LivePicture(Graphics graphics, bool animate) : IDisposable
{
    /// <summary>Box of the picture in characters; a character is about twice as high as wide.</summary>
    private const int Rows = 16;
    private const int Columns = 32;
    private const int BarWidth = 28;

    private bool _reserved;

    /// <param name="fraction">0..1; null where it is not known yet.</param>
    public void Bar(double? fraction, string text)
    {
        if (!animate)
        {
            return;
        }

        var done = (int)Math.Round(BarWidth * Math.Clamp(fraction ?? 0, 0, 1));
        Console.Error.Write($"\r\e[K\e[36m{new string('━', done)}\e[90m{new string('━', BarWidth - done)}\e[0m {Readable.Plain(text)}");
    }

    public void Show(byte[] picture)
    {
        if (!animate || graphics == Graphics.None || TerminalPicture.Render(graphics, picture, Columns, Rows) is not { } escape)
        {
            return;
        }

        if (!_reserved)
        {
            // Lines are made first, so that drawing at the bottom of the window does not scroll away from itself.
            Console.Error.Write("\r\e[K" + new string('\n', Rows));
            _reserved = true;
        }

        Console.Error.Write($"\e7\e[{Rows}A\r{escape}\e8");
    }

    public void Dispose()
    {
        if (animate)
        {
            Console.Error.Write("\r\e[K");
        }
    }
}
