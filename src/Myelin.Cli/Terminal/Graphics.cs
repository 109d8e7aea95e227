namespace Myelin.Cli.Terminal;

/// <summary>How a terminal shows a picture.</summary>
internal enum Graphics
{
    None,

    /// <summary>Half blocks in 24-bit colour: two pixels a character, anywhere.</summary>
    Blocks,
    Sixel,
    Iterm2,
    Kitty,
}

internal static class GraphicsDetection
{
    /// <summary>What the terminal says of itself in the environment; <see cref="Graphics.None"/> where it says nothing.</summary>
    public static Graphics Detect(Func<string, string?> variable)
    {
        // Inside a multiplexer the outer terminal's escapes do not arrive.
        if (variable("TMUX") is { Length: > 0 } || variable("STY") is { Length: > 0 })
        {
            return Graphics.None;
        }

        var term = variable("TERM") ?? "";
        var program = variable("TERM_PROGRAM") ?? "";
        if (term == "xterm-kitty" || term == "xterm-ghostty" || program == "ghostty" || variable("KITTY_WINDOW_ID") is { Length: > 0 })
        {
            return Graphics.Kitty;
        }

        if (program is "iTerm.app" or "WezTerm" or "mintty")
        {
            return Graphics.Iterm2;
        }

        return term.StartsWith("foot", StringComparison.Ordinal) || term.StartsWith("mlterm", StringComparison.Ordinal)
            || term.Contains("sixel", StringComparison.Ordinal) || term.StartsWith("contour", StringComparison.Ordinal)
            ? Graphics.Sixel
            : Graphics.None;
    }
}
