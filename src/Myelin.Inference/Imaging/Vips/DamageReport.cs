using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Myelin.Inference.Imaging.Vips;

/// <summary>
/// Why a picture cannot be read, in libvips' words and from this picture alone. The library keeps its errors in one
/// buffer for the whole process, where lines of other pictures stand and long ones push out the own. So a picture that
/// was refused is read once more by a second copy of the library, which has a buffer of its own and reads one picture
/// at a time. Only refused pictures wait for one another, and not for long.
/// </summary>
internal static partial class DamageReport
{
    private const int FailOnError = 2;
    private const int Sequential = 1;
    private const uint CloseOnExec = 1;

    private static readonly Lazy<Library?> s_library = new(Load);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);

    /// <summary>Who waits for it holds no thread.</summary>
    internal static SemaphoreSlim Gate { get; } = new(1);

    /// <returns>One line, or null: others were read for five seconds, the second copy cannot be loaded, or reads the picture without an error.</returns>
    public static async Task<string?> OfAsync(ReadOnlyMemory<byte> picture, PictureFormat format, CancellationToken cancellationToken)
    {
        using var late = new CancellationTokenSource(s_patience, TimeProvider.System);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        try
        {
            await Gate.WaitAsync(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return null;
        }

        try
        {
            return s_library.Value?.Read(picture.Span, format);
        }
        finally
        {
            Gate.Release();
        }
    }

    /// <summary>The loaded library's file once more, from memory: the loader would give the same copy for the same file.</summary>
    private static Library? Load()
    {
        try
        {
            VipsLibrary.Initialise();
            var path = File.ReadLines("/proc/self/maps").First(line => line.Contains("/libvips.so", StringComparison.Ordinal));
            using var file = new SafeFileHandle(CreateMemoryFile("libvips", CloseOnExec), ownsHandle: true);
            using (var source = File.OpenRead(path[path.IndexOf('/', StringComparison.Ordinal)..]))
            using (var copy = new FileStream(file, FileAccess.Write, bufferSize: 0))
            {
                source.CopyTo(copy);
                return Library.Start(NativeLibrary.Load($"/proc/self/fd/{file.DangerousGetHandle()}"));
            }
        }
        catch (Exception fault) when (fault is IOException or InvalidOperationException or ArgumentException or DllNotFoundException or EntryPointNotFoundException or UnauthorizedAccessException)
        {
            return null; // pictures are refused without a cause
        }
    }

    [LibraryImport("libc", EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int CreateMemoryFile(string name, uint flags);

    /// <summary>What of the library's C interface is needed; its variadic calls end with a null and take no doubles here.</summary>
    private sealed unsafe class Library(nint library)
    {
        public static Library Start(nint handle)
        {
            var library = new Library(handle);
            fixed (byte* name = "myelin"u8)
            {
                if (((delegate* unmanaged<byte*, int>)library.Export("vips_init"))(name) != 0)
                {
                    throw new InvalidOperationException("the second copy of libvips does not start");
                }
            }

            ((delegate* unmanaged<delegate* unmanaged<nint, int, nint, nint, void>, nint, nint>)library.Export("g_log_set_default_handler"))(&Ignore, 0);
            ((delegate* unmanaged<int, void>)library.Export("vips_concurrency_set"))(1);
            ((delegate* unmanaged<int, void>)library.Export("vips_cache_set_max"))(0);
            ((delegate* unmanaged<int, void>)library.Export("vips_block_untrusted_set"))(1);
            var block = (delegate* unmanaged<byte*, int, void>)library.Export("vips_operation_block_set");
            foreach (var loader in VipsLibrary.Loaders.Prepend(""))
            {
                fixed (byte* name = Encoding.ASCII.GetBytes($"VipsForeignLoad{loader}\0"))
                {
                    block(name, loader is "" or "Svg" ? 1 : 0);
                }
            }

            return library;
        }

        public string? Read(ReadOnlySpan<byte> picture, PictureFormat format)
        {
            ((delegate* unmanaged<void>)Export("vips_error_clear"))();
            var load = (delegate* unmanaged<byte*, nuint, nint*, byte*, int, byte*, int, nint, int>)Export(format switch
            {
                PictureFormat.Jpeg => "vips_jpegload_buffer",
                PictureFormat.Png => "vips_pngload_buffer",
                PictureFormat.WebP => "vips_webpload_buffer",
                PictureFormat.Avif => "vips_heifload_buffer",
                PictureFormat.Gif => "vips_gifload_buffer",
                _ => "vips_tiffload_buffer",
            });
            fixed (byte* bytes = picture, failOn = "fail_on"u8, access = "access"u8)
            {
                nint image = 0;
                if (load(bytes, (nuint)picture.Length, &image, failOn, FailOnError, access, Sequential, 0) == 0)
                {
                    double mean; // reads every pixel and keeps none
                    _ = ((delegate* unmanaged<nint, double*, nint, int>)Export("vips_avg"))(image, &mean, 0);
                    ((delegate* unmanaged<nint, void>)Export("g_object_unref"))(image);
                }
            }

            var text = Marshal.PtrToStringUTF8(((delegate* unmanaged<nint>)Export("vips_error_buffer"))()) ?? "";
            var line = string.Join("; ", text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Distinct().Take(3));
            return line.Length == 0 ? null : line.Length > 300 ? line[..300] : line;
        }

        private nint Export(string name) => NativeLibrary.GetExport(library, name);

        [UnmanagedCallersOnly]
        private static void Ignore(nint domain, int level, nint message, nint data)
        {
        }
    }
}
