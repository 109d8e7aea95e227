using System.Globalization;
using System.IO.Enumeration;
using System.Security.Cryptography;
using System.Text;

namespace Myelin.Serving.Models;

/// <summary>
/// What a look at a model's folder finds: a value that changes when any file does, and the bytes of all files. What programs in the folder write for themselves is no change of the model and is not walked:
/// hidden folders, <c>__pycache__</c>, <c>node_modules</c>, virtual environments of Python.
/// </summary>
/// <param name="Value">A digest.</param>
/// <param name="Bytes">Size of the files that were counted.</param>
/// <param name="Whole">False beyond <see cref="MaxEntries"/>: then only <c>model.yaml</c> is watched, and reload takes in the rest.</param>
internal sealed record ModelFingerprint(string Value, long Bytes, bool Whole)
{
    public const int MaxEntries = 10_000;

    public static ModelFingerprint Of(string folder)
    {
        // What cannot be read is passed over here and reported when it is loaded.
        var all = new EnumerationOptions { RecurseSubdirectories = true, IgnoreInaccessible = true, AttributesToSkip = FileAttributes.None, MaxRecursionDepth = 32 };
        var files = new FileSystemEnumerable<(string Path, bool IsFile, long Length, DateTimeOffset Written)>(
            folder, static (ref e) => (e.ToFullPath(), !e.IsDirectory, e.IsDirectory ? 0 : e.Length, e.LastWriteTimeUtc), all)
        {
            ShouldRecursePredicate = static (ref folder) => !IsByproduct(ref folder),
        }.Take(MaxEntries + 1).ToList();
        var whole = files.Count <= MaxEntries;
        files.RemoveAll(f => !f.IsFile);
        var bytes = files.Sum(f => f.Length);
        var text = new StringBuilder();
        if (!whole)
        {
            var yaml = new FileInfo(Path.Combine(folder, "model.yaml"));
            files = [(yaml.FullName, true, yaml.Length, yaml.LastWriteTimeUtc)];
        }

        foreach (var file in files.OrderBy(f => f.Path, StringComparer.Ordinal))
        {
            text.Append(CultureInfo.InvariantCulture, $"{file.Path}|{file.Length}|{file.Written.UtcTicks}\n");
        }

        return new ModelFingerprint(Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString()))), bytes, whole);
    }

    private static bool IsByproduct(ref FileSystemEntry folder) =>
        folder.FileName is ['.', ..] or "__pycache__" or "node_modules" || File.Exists(Path.Join(folder.ToSpecifiedFullPath(), "pyvenv.cfg"));
}
