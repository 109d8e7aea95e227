using System.Runtime.InteropServices;

namespace Myelin.Inference.Imaging.Vips;

/// <summary>Starts libvips once, with only the loaders that are wanted and no thread pool or cache of its own.</summary>
internal static class VipsLibrary
{
    private static readonly Lazy<bool> s_started = new(Start);

    /// <exception cref="DllNotFoundException">The library is not beside the program.</exception>
    public static void Initialise() => _ = s_started.Value;

    private static bool Start()
    {
        Fonts.Configure();
        if (VipsNative.Init("myelin") != 0)
        {
            throw new InvalidOperationException("libvips does not start: " + TakeError());
        }

        unsafe
        {
            VipsNative.SetLogHandler(&Ignore, 0);
        }

        // Jobs run side by side already: one thread each keeps a picture from crowding out the others.
        VipsNative.SetConcurrency(1);

        // No two requests share an operation, so cached ones would only hold memory.
        VipsNative.SetCacheMax(0);
        VipsNative.BlockUntrusted(1);
        VipsNative.Block("VipsForeignLoad", 1);
        foreach (var loader in new[] { "Jpeg", "Png", "Webp", "Heif", "Nsgif", "Tiff", "Svg" })
        {
            // Svg is for our own overlays; a caller's bytes go only to the loader that their first bytes name.
            VipsNative.Block("VipsForeignLoad" + loader, 0);
        }

        return true;
    }

    /// <summary>Damaged files make the libraries write to standard error, as often as a caller likes; what matters comes back as an error.</summary>
    [UnmanagedCallersOnly]
    private static void Ignore(nint domain, int level, nint message, nint data)
    {
    }

    /// <summary>The last message, in one line. The buffer is the process's: under concurrency it may hold another call's words.</summary>
    public static string TakeError()
    {
        var message = VipsNative.TakeError();
        var text = Marshal.PtrToStringUTF8(message) ?? "";
        VipsNative.Free(message);
        var line = string.Join("; ", text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Distinct().Take(3));
        return line.Length == 0 ? "unknown error" : line.Length > 300 ? line[..300] : line;
    }
}
