using System.CommandLine;
using System.Runtime.InteropServices;

namespace Myelin.Cli.Serve;

/// <summary><c>myelin serve …</c>: becomes the server's program, so that signals and the exit status are its own.</summary>
internal static partial class ServeCommand
{
    /// <summary>Names the program where it lies elsewhere.</summary>
    private const string Variable = "MYELIN_SERVER_PROGRAM";

    private const string Program = "myelin-server";

    /// <summary>For the help; what follows the word is the server's to read, see <see cref="Run"/>.</summary>
    public static Command Create()
    {
        var command = new Command("serve", "Starts the server, or some of its roles; myelin serve --help lists its flags");
        command.SetAction(_ => Run([]));
        return command.WithExamples("myelin serve", "myelin serve --roles gateway --config /etc/myelin.yaml");
    }

    /// <returns>Only where the program could not be started.</returns>
    public static int Run(IReadOnlyList<string> arguments)
    {
        if (Find() is not { } program)
        {
            Console.Error.WriteLine($"myelin: {Program} is not beside this program nor in PATH; name it in {Variable}");
            return ExitCode.Usage;
        }

        // Ends in null, as C wants it. Returns only where it failed.
        _ = Execute(program, [program, "serve", .. arguments, null]);
        Console.Error.WriteLine($"myelin: {program} does not start: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");
        return ExitCode.Usage;
    }

    private static string? Find()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } named)
        {
            return File.Exists(named) ? Path.GetFullPath(named) : null;
        }

        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        return folders.Prepend(AppContext.BaseDirectory).Select(folder => Path.Combine(folder, Program)).FirstOrDefault(File.Exists);
    }

    [LibraryImport("libc", EntryPoint = "execv", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Execute(string path, string?[] arguments);
}
