using System.IO.Enumeration;

namespace Myelin.Cli.Pictures;

/// <summary>A picture named on the command line.</summary>
/// <param name="Name">As a person knows it; <c>-</c> for standard input.</param>
internal sealed record InputFile(string Name)
{
    public bool IsStandardInput => Name == "-";

    public string Stem => IsStandardInput ? "stdin" : Path.GetFileNameWithoutExtension(Name);

    public string ContentType => Path.GetExtension(Name).ToLowerInvariant() switch
    {
        ".jpg" or ".jpeg" => "image/jpeg",
        ".png" => "image/png",
        ".webp" => "image/webp",
        ".gif" => "image/gif",
        ".avif" => "image/avif",
        ".tif" or ".tiff" => "image/tiff",
        _ => "application/octet-stream",
    };

    public Stream Open() => IsStandardInput ? Console.OpenStandardInput() : File.OpenRead(Name);

    /// <summary>Files, patterns that the shell left alone, and <c>-</c>; in the order given, patterns sorted.</summary>
    public static IReadOnlyList<InputFile> Expand(IReadOnlyList<string> arguments)
    {
        var files = new List<InputFile>();
        foreach (var argument in arguments)
        {
            if (argument == "-" || File.Exists(argument))
            {
                files.Add(new(argument));
            }
            else if (argument.AsSpan().ContainsAny('*', '?'))
            {
                var found = Match(argument);
                files.AddRange(found.Length > 0 ? found : throw new UsageException($"No file matches {argument}."));
            }
            else
            {
                throw new UsageException(Directory.Exists(argument)
                    ? $"{argument} is a folder; name its files, such as '{Path.Combine(argument, "*.jpg")}'."
                    : $"There is no file {argument}.");
            }
        }

        return files.Count(f => f.IsStandardInput) > 1 ? throw new UsageException("Standard input (-) can be read only once.") : files;
    }

    private static InputFile[] Match(string pattern)
    {
        var folder = Path.GetDirectoryName(pattern) is { Length: > 0 } given ? given : ".";
        if (!Directory.Exists(folder))
        {
            throw new UsageException($"There is no folder {folder}.");
        }

        var names = Path.GetFileName(pattern);
        return [.. Directory.EnumerateFiles(folder)
            .Where(f => FileSystemName.MatchesSimpleExpression(names, Path.GetFileName(f), ignoreCase: false))
            .Order(StringComparer.Ordinal)
            .Select(f => new InputFile(folder == "." ? Path.GetFileName(f) : f))];
    }
}
