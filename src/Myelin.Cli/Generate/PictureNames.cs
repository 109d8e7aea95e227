namespace Myelin.Cli.Generate;

/// <summary>Names the files of generated pictures.</summary>
/// <param name="target">What the person asked for; null = a name made from the prompt that no file has yet.</param>
internal sealed class PictureNames(string? target, string prompt)
{
    private const int StemLength = 40;

    public string For(int index, int count, JobArtifact artifact)
    {
        var extension = Path.GetExtension(artifact.Name) is { Length: > 0 } own ? own : ".png";
        if (target is null)
        {
            return Free(Stem(), extension);
        }

        if (target == "-")
        {
            return target;
        }

        if (target.EndsWith('/') || Directory.Exists(target))
        {
            return Free(Path.Combine(target, Stem()), extension);
        }

        return count == 1
            ? target
            : Path.Combine(Path.GetDirectoryName(target) ?? "", $"{Path.GetFileNameWithoutExtension(target)}-{index + 1}{Path.GetExtension(target)}");
    }

    private string Stem()
    {
        var words = string.Concat(prompt.ToLowerInvariant().Select(c => char.IsAsciiLetterOrDigit(c) ? c : '-'))
            .Split('-', StringSplitOptions.RemoveEmptyEntries);
        var stem = string.Join('-', words);
        return stem.Length == 0 ? "picture" : stem[..Math.Min(StemLength, stem.Length)].TrimEnd('-');
    }

    private static string Free(string stem, string extension)
    {
        var path = stem + extension;
        for (var n = 2; File.Exists(path); n++)
        {
            path = $"{stem}-{n}{extension}";
        }

        return path;
    }
}
