using System.CommandLine;
using Myelin.Cli.Models;

namespace Myelin.Cli.Pictures;

/// <summary>detect, classify, read, run: pictures in, findings and a picture out.</summary>
internal static class PictureCommands
{
    public static Command Detect()
    {
        var threshold = Threshold("Least score of a finding, 0 to 1");
        return Create("detect", "Finds things in pictures: faces, people, cars …", ["object-detection", "instance-segmentation"], threshold).WithExamples(
            "myelin detect photo.jpg -m faces -o faces.jpg",
            "myelin detect *.jpg -m yolox-nano -o found/ --threshold 0.5",
            "curl -s https://example.org/street.jpg | myelin detect - -m faces --json");
    }

    public static Command Classify() =>
        Create("classify", "Says what pictures show", ["image-classification"], null).WithExamples(
            "myelin classify cat.jpg -m shufflenet",
            "myelin classify *.png -m cifar10 --json");

    public static Command Read() =>
        Create("read", "Reads the text in pictures", ["text-recognition"], null).WithExamples(
            "myelin read sign.jpg",
            "myelin read page-*.png > text.txt",
            "myelin read sign.jpg -o where.jpg");

    public static Command Run() =>
        Create("run", "Runs any model that takes a picture", [], null).WithExamples(
            "myelin run photo.jpg -m candy -o painted.jpg",
            "myelin run photo.jpg -m faces -p threshold=0.8");

    private static Command Create(string name, string description, string[] tasks, Option<double?>? threshold)
    {
        var options = new PictureOptions();
        var command = options.Attach(new Command(name, description));
        if (threshold is not null)
        {
            command.Add(threshold);
        }

        command.SetAction(Session.Action(async (session, cancellationToken) =>
        {
            var arguments = session.Arguments;
            var files = InputFile.Expand(arguments.GetValue(options.Files)!);
            var target = OutputTarget.Parse(arguments.GetValue(options.Out), files, session.Output.Json);
            var model = await ModelChoice.FindAsync(session.Client, arguments.GetValue(options.Model), tasks, cancellationToken);
            var parameters = new Parameters(model).Add(arguments.GetValue(options.Parameter)!);
            if (threshold is not null)
            {
                parameters.Add("threshold", arguments.GetValue(threshold));
            }

            var run = new PictureRun(session, model, parameters.Json, arguments.GetValue(options.Priority), target);
            return arguments.GetValue(options.Detach)
                ? await run.DetachAsync(files, cancellationToken)
                : await run.RunAsync(files, cancellationToken);
        }));
        return command;
    }

    private static Option<double?> Threshold(string description) => new("--threshold") { Description = description, HelpName = "0..1" };
}
