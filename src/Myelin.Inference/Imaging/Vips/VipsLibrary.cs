using System.Runtime.InteropServices;
using NetVips;

namespace Myelin.Inference.Imaging.Vips;

/// <summary>Starts libvips once, with only the loaders that are wanted and no thread pool or cache of its own.</summary>
internal static unsafe partial class VipsLibrary
{
    /// <summary>Svg is for our own overlays; a caller's bytes go only to the loader that their first bytes name.</summary>
    public static readonly string[] Loaders = ["Jpeg", "Png", "Webp", "Heif", "Nsgif", "Tiff", "Svg"];

    private static readonly Lazy<bool> s_started = new(Start);

    /// <exception cref="TypeInitializationException">The library is not beside the program.</exception>
    public static void Initialise() => _ = s_started.Value;

    /// <summary>A step on pixels of our own failed. libvips' words stay out of it: its buffer of errors is the whole process's.</summary>
    public static InvalidOperationException Fault(string step) => new($"{step} failed in libvips");

    private static bool Start()
    {
        Fonts.Configure(); // before the first word to NetVips, which starts the library
        Configure();
        return true;
    }

    private static void Configure()
    {
        // Damaged files make the libraries write to standard error, as often as a caller likes; what matters comes back as an error.
        SetLogHandler(&Ignore, 0);

        // Jobs run side by side already: one thread each keeps a picture from crowding out the others.
        NetVips.NetVips.Concurrency = 1;

        // No two requests share an operation, so cached ones would only hold memory.
        Cache.Max = 0;
        NetVips.NetVips.BlockUntrusted = true;
        Operation.Block("VipsForeignLoad", true);
        foreach (var loader in Loaders)
        {
            Operation.Block("VipsForeignLoad" + loader, false);
        }
    }

    // NetVips sets handlers for one domain each; this is for all that have none.
    [LibraryImport("libvips.so.42", EntryPoint = "g_log_set_default_handler")]
    private static partial nint SetLogHandler(delegate* unmanaged<nint, int, nint, nint, void> handler, nint data);

    [UnmanagedCallersOnly]
    private static void Ignore(nint domain, int level, nint message, nint data)
    {
    }
}
