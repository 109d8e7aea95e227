namespace Myelin.Cli.Pictures;

/// <summary>Where result pictures go.</summary>
internal sealed record OutputTarget(string Path, bool IsFolder)
{
    /// <summary>Null: the person asked for no picture.</summary>
    public static OutputTarget? Parse(string? path, IReadOnlyList<InputFile> files, bool json)
    {
        if (path is null)
        {
            return null;
        }

        if (path == "-")
        {
            return files.Count > 1 || json
                ? throw new UsageException("-o - writes one picture to standard output; not with several files or --json.")
                : new(path, IsFolder: false);
        }

        var folder = Directory.Exists(path) || path.EndsWith('/');
        return files.Count > 1 && !folder
            ? throw new UsageException($"With several files -o must be a folder: -o {path.TrimEnd('/')}/")
            : new(path, folder);
    }

    /// <summary>The file for one input's picture: <c>photo.annotated.jpg</c> in a folder.</summary>
    public string For(InputFile input, JobArtifact artifact) =>
        IsFolder ? System.IO.Path.Combine(Path, $"{input.Stem}.{System.IO.Path.GetFileName(artifact.Name)}") : Path;
}
