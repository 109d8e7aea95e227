using System.CommandLine;
using System.CommandLine.Invocation;
using System.Runtime.InteropServices;
using Myelin.Cli.Catalogue;
using Myelin.Cli.Generate;
using Myelin.Cli.Jobs;
using Myelin.Cli.Models;
using Myelin.Cli.Pictures;
using Myelin.Cli.Serve;
using Myelin.Cli.Workers;

namespace Myelin.Cli;

/// <summary>The whole command line: parses, runs one command, maps its ending to an exit code.</summary>
internal static class CommandLine
{
    public static async Task<int> RunAsync(string[] args)
    {
        if (args is ["serve", .. var flags])
        {
            return ServeCommand.Run(flags);
        }

        var root = Root();
        Help.Install(root);
        var parsed = root.Parse(args);
        if (parsed.Action is null or ParseErrorAction)
        {
            foreach (var error in parsed.Errors)
            {
                await Console.Error.WriteLineAsync($"myelin: {error.Message}");
            }

            await Console.Error.WriteLineAsync($"Try '{Help.Path(parsed.CommandResult.Command)} --help'.");
            return ExitCode.Usage;
        }

        // The first Ctrl-C cancels the job on the server and waits for that; the second leaves at once.
        using var interrupt = new CancellationTokenSource();
        void Handle(PosixSignalContext signal)
        {
            signal.Cancel = !interrupt.IsCancellationRequested;
            interrupt.Cancel();
        }

        using var onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle);
        using var onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle);
        return await parsed.InvokeAsync(
            new() { ProcessTerminationTimeout = null, EnableDefaultExceptionHandler = false }, interrupt.Token);
    }

    private static RootCommand Root() => new("Runs neural networks on a Myelin server: detect, read, classify, generate.")
    {
        GlobalOptions.Server,
        GlobalOptions.ApiKey,
        GlobalOptions.Json,
        PictureCommands.Detect(),
        PictureCommands.Classify(),
        PictureCommands.Read(),
        PictureCommands.Run(),
        GenerateCommand.Create(),
        JobsCommand.Create(),
        ModelsCommand.Create(),
        CatalogueCommand.Create(),
        WorkersCommand.Create(),
        ServeCommand.Create(),
    };
}
