namespace Myelin.Inference.Models;

/// <summary>Paths that a model's file names: always inside the model's own folder.</summary>
internal static class ModelPath
{
    /// <summary>The absolute path of <paramref name="file"/> within <paramref name="folder"/>, or null where it points elsewhere.</summary>
    public static string? Inside(string folder, string file)
    {
        if (file.Length == 0 || file.Contains('\0') || Path.IsPathRooted(file))
        {
            return null;
        }

        var root = Path.GetFullPath(folder) + Path.DirectorySeparatorChar;
        var path = Path.GetFullPath(Path.Combine(root, file));
        return path.StartsWith(root, StringComparison.Ordinal) ? path : null;
    }
}
