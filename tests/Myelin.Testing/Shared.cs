using Xunit;

namespace Myelin.Testing;

/// <summary>
/// Finds what lies beside a checkout for tests only: real models (<c>MYELIN_MODEL_MIRROR</c>, <c>../shared/zoo</c>),
/// pictures, goldens. A test that needs one and does not find it is skipped with the reason.
/// </summary>
public static class Shared
{
    /// <summary>The repository's root: the folder that holds <c>Myelin.slnx</c>.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The folder itself; it may not be there.</summary>
    public static string Folder { get; } =
        Environment.GetEnvironmentVariable("MYELIN_SHARED") ?? Path.GetFullPath(Path.Combine(Root, "..", "shared"));

    /// <summary>A path under <c>../shared</c>; skips the running test when it is not there.</summary>
    public static string Require(params string[] parts)
    {
        var path = Path.Combine([Folder, .. parts]);
        Assert.SkipUnless(Path.Exists(path), $"needs {Path.Combine(["../shared", .. parts])}, which is not here");
        return path;
    }

    /// <summary>A model file of the mirror; skips the running test when it is not there.</summary>
    public static string Zoo(string file)
    {
        var mirror = Environment.GetEnvironmentVariable("MYELIN_MODEL_MIRROR");
        if (mirror is not null && File.Exists(Path.Combine(mirror, file)))
        {
            return Path.Combine(mirror, file);
        }

        return Require("zoo", file);
    }

    public static string Sample(string file) => Require("samples", "images", file);

    /// <summary>A file that npm brings, such as a built-in model's weights.</summary>
    public static string NodeModule(string path) => Path.Combine(Root, "node_modules", path);

    private static string FindRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Myelin.slnx")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidOperationException("Myelin.slnx is not above " + AppContext.BaseDirectory);
    }
}
