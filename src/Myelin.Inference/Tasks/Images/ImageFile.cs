namespace Myelin.Inference.Tasks.Images;

internal static class ImageFile
{
    /// <exception cref="InputException">The job has no such part.</exception>
    public static ReadOnlyMemory<byte> Of(TaskInput input, string name = "image") =>
        input.Files.TryGetValue(name, out var file)
            ? file.Bytes
            : throw new InputException($"input.{name}", $"is missing; send the picture as the part '{name}'");
}
