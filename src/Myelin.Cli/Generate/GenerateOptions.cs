using System.CommandLine;

namespace Myelin.Cli.Generate;

internal sealed class GenerateOptions
{
    public Argument<string> Prompt { get; } = new("prompt") { Description = "What the picture shows; - reads it from standard input" };

    public Option<string> Model { get; } = new("--model", "-m") { Description = "Model to run; may be left out where only one fits", HelpName = "name" };

    public Option<string> Out { get; } = new("--output", "-o") { Description = "File of the picture, or - [default: from the prompt]; several get -1, -2 …", HelpName = "path" };

    public Option<string> Negative { get; } = new("--negative") { Description = "What the picture must not show", HelpName = "text" };

    public Option<int?> Steps { get; } = new("--steps") { Description = "Denoising steps: more is slower and cleaner", HelpName = "n" };

    public Option<double?> Guidance { get; } = new("--guidance") { Description = "How closely to follow the prompt", HelpName = "x" };

    public Option<string> Sampler { get; } = new("--sampler") { Description = "Sampler by name (see: myelin models show NAME)", HelpName = "name" };

    public Option<long?> Seed { get; } = new("--seed") { Description = "The same seed and parameters give the same picture", HelpName = "n" };

    public Option<string> Size { get; } = new("--size") { Description = "Width and height in pixels, such as 512x512", HelpName = "WxH" };

    public Option<int?> Count { get; } = new("--count", "-n") { Description = "How many pictures", HelpName = "n" };

    public Option<string> Image { get; } = new("--image") { Description = "Picture to begin from (image-to-image)", HelpName = "file" };

    public Option<string> Mask { get; } = new("--mask") { Description = "White where --image is painted anew (inpainting)", HelpName = "file" };

    public Option<double?> Strength { get; } = new("--strength") { Description = "How far to go from --image, 0 to 1", HelpName = "0..1" };

    public Option<string[]> Parameter { get; } = new("--parameter", "-p") { Description = "Any other parameter of the model; may be repeated", HelpName = "name=value", DefaultValueFactory = _ => [] };

    public Option<string> Preview { get; } = new("--preview")
    {
        Description = "Show the picture as it comes into being: auto, blocks, kitty, iterm2, sixel or none; without a value blocks where the terminal has no pictures",
        HelpName = "how",
        Arity = ArgumentArity.ZeroOrOne,
    };

    public Command Attach(Command command)
    {
        Preview.AcceptOnlyFromAmong("auto", "blocks", "kitty", "iterm2", "sixel", "none");
        command.Add(Prompt);
        foreach (var option in new Option[] { Model, Out, Negative, Steps, Guidance, Sampler, Seed, Size, Count, Image, Mask, Strength, Parameter, Preview })
        {
            command.Add(option);
        }

        return command;
    }
}
