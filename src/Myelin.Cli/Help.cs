using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Myelin.Cli;

/// <summary>Help that teaches: the standard text, then examples of the command that was asked about.</summary>
internal static class Help
{
    private static readonly Dictionary<Command, string[]> s_examples = [];

    /// <summary>Attaches examples; each is a whole line that works when pasted.</summary>
    public static T WithExamples<T>(this T command, params string[] lines)
        where T : Command
    {
        s_examples[command] = lines;
        return command;
    }

    public static void Install(RootCommand root)
    {
        root.WithExamples(
            "myelin detect photo.jpg -m faces -o faces.jpg",
            "myelin read sign.jpg",
            "myelin generate \"red apple\" -o apple.png --seed 7",
            "myelin detect *.jpg --json | jq '.result.detections[].label'");
        foreach (var option in root.Options.OfType<HelpOption>())
        {
            option.Action = new Action((HelpAction)option.Action!);
        }
    }

    public static string Path(Command command)
    {
        var names = new Stack<string>([command.Name]);
        for (var parent = command.Parents.FirstOrDefault(); parent is Command above; parent = above.Parents.FirstOrDefault())
        {
            names.Push(above.Name);
        }

        return string.Join(' ', names);
    }

    private sealed class Action(HelpAction standard) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            var code = standard.Invoke(parseResult);
            var output = parseResult.InvocationConfiguration.Output;
            if (s_examples.TryGetValue(parseResult.CommandResult.Command, out var lines))
            {
                output.WriteLine("Examples:");
                foreach (var line in lines)
                {
                    output.WriteLine("  " + line);
                }

                output.WriteLine();
            }

            if (parseResult.CommandResult.Command is RootCommand)
            {
                output.WriteLine("Exit codes: 0 done, 1 the job failed, 2 wrong arguments, 3 no server, 130 interrupted (the job is cancelled).");
            }

            return code;
        }
    }
}
