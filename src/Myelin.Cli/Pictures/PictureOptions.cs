using System.CommandLine;

namespace Myelin.Cli.Pictures;

/// <summary>What every command that sends pictures takes. A fresh set per command, because options have one parent's help.</summary>
internal sealed class PictureOptions
{
    public Argument<string[]> Files { get; } = new("files")
    {
        Description = "Pictures: files, patterns such as '*.jpg', or - for standard input",
        Arity = ArgumentArity.OneOrMore,
    };

    public Option<string> Model { get; } = new("--model", "-m")
    {
        Description = "Model to run; may be left out where only one fits",
        HelpName = "name",
    };

    public Option<string> Out { get; } = new("--output", "-o")
    {
        Description = "Where the result picture goes: a file, a folder (for several pictures), or - for standard output",
        HelpName = "path",
    };

    public Option<string[]> Parameter { get; } = new("--parameter", "-p")
    {
        Description = "A parameter of the model (see: myelin models show NAME); may be repeated",
        HelpName = "name=value",
        AllowMultipleArgumentsPerToken = false,
        DefaultValueFactory = _ => [],
    };

    public Option<JobPriority> Priority { get; } = new("--priority")
    {
        Description = "high, normal or low",
        DefaultValueFactory = _ => JobPriority.Normal,
        HelpName = "class",
    };

    public Option<bool> Detach { get; } = new("--detach", "-d")
    {
        Description = "Submit, print the job's id and leave; fetch later with: myelin jobs fetch ID",
    };

    public Command Attach(Command command)
    {
        command.Add(Files);
        command.Add(Model);
        command.Add(Out);
        command.Add(Parameter);
        command.Add(Priority);
        command.Add(Detach);
        return command;
    }
}
