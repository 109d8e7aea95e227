namespace Myelin.Hosting.Configuration;

/// <summary>
/// What the data folder holds is its owner's alone: keys, secrets, what callers sent. The folder is made 0700 and the
/// files in it 0600, whoever comes first: a server, with or without PostgreSQL, or <c>keys create</c>. A folder that was
/// there keeps its mode, since it may be anybody's (<c>--data .</c>); ours inside it are tightened, and a warning is due.
/// </summary>
internal static class DataFolder
{
    private const UnixFileMode OwnerFolder = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const UnixFileMode OwnerFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Makes it where it is not there.</summary>
    public static void Make(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(folder);
        }
        else
        {
            Directory.CreateDirectory(folder, OwnerFolder);
        }
    }

    /// <summary>Before any capability makes a folder inside it. Where it cannot be made, whoever needs it says so; many processes need none.</summary>
    public static void MakeFirst(string folder)
    {
        try
        {
            Make(folder);
        }
        catch (Exception e) when (e is UnauthorizedAccessException or IOException)
        {
        }
    }

    /// <summary>Why others of this machine can look into it, with the cure; null where they cannot.</summary>
    public static string? Warning(string folder) =>
        !OperatingSystem.IsWindows() && Directory.Exists(folder) && (File.GetUnixFileMode(folder) & ~OwnerFolder) is not 0
            ? $"warning: other users of this machine can look into the data folder {Path.GetFullPath(folder)}; chmod 700 keeps them out"
            : null;

    /// <summary>For a file that is to be made.</summary>
    public static FileStreamOptions Private(FileStreamOptions options)
    {
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = OwnerFile;
        }

        return options;
    }

    /// <summary>Takes from others what an older version let them have of our own file or folder; one that is not there, or another's, stays as it is.</summary>
    public static void Tighten(string path)
    {
        try
        {
            if (!OperatingSystem.IsWindows() && Path.Exists(path) && File.GetUnixFileMode(path) is var mode && (mode & ~OwnerFolder) != 0)
            {
                File.SetUnixFileMode(path, mode & OwnerFolder);
            }
        }
        catch (Exception e) when (e is UnauthorizedAccessException or IOException)
        {
            // Another user's, or a file system without modes.
        }
    }
}
