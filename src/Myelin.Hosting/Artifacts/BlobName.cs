namespace Myelin.Hosting.Artifacts;

/// <summary>Names that are safe as a file's name and in a URL: letters, digits, <c>-</c>, <c>_</c>, <c>.</c>; 2 to 128 characters, not starting with a dot.</summary>
internal static class BlobName
{
    public const int MaxLength = 128;

    /// <summary>Of the mark of the blobs' owner; no job's blob has such a name.</summary>
    public const string Mark = ".myelin";

    /// <summary>Characters of a mark that are read.</summary>
    public const int MarkLength = 4096;

    public static bool IsValid(string name) =>
        name.Length is >= 2 and <= MaxLength && name[0] != '.' && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');

    /// <exception cref="ArgumentException">The name is not safe: a caller forgot to check it.</exception>
    public static string Checked(string name) =>
        IsValid(name) ? name : throw new ArgumentException($"'{name}' is no name for a blob; see {nameof(BlobName)}.", nameof(name));
}
