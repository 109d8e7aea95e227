using Myelin.Inference.Imaging;

namespace Myelin.Inference.Tasks.Images;

internal static class ImageFile
{
    /// <summary>Decodes the picture; <paramref name="enough"/> as in <see cref="Picture.Decode"/>.</summary>
    /// <exception cref="InputException">The job has no such part, or it cannot be read.</exception>
    public static Picture Decode(TaskInput input, ImagingLimits limits, (int Width, int Height)? enough = null, string name = "image") =>
        input.Files.TryGetValue(name, out var file)
            ? Picture.Decode(file.Bytes, limits, $"input.{name}", enough, file.Header)
            : throw new InputException($"input.{name}", $"is missing; send the picture as the part '{name}'");

    /// <summary>Width and height by the header, as a person sees the picture; null where it is missing or cannot be read.</summary>
    public static (int Width, int Height)? Size(TaskInput input, ImagingLimits limits, string name = "image") =>
        input.Files.TryGetValue(name, out var file) && (file.Header ??= PictureHeader.Find(file.Bytes, limits)) is { } header ? (header.OrientedWidth, header.OrientedHeight) : null;

    /// <summary>What a call takes by the pixels of its picture.</summary>
    public static MemoryNeed Memory(TaskInput input, ImagingLimits limits, double bytesPerPixel) => Size(input, limits) is var (width, height)
        ? new MemoryNeed((long)(bytesPerPixel * width * height), "input.image", "Send a smaller picture")
        : default;
}
