using System.CommandLine;
using System.Globalization;
using Myelin.Cli.Jobs;
using Myelin.Cli.Models;
using Myelin.Cli.Pictures;
using Myelin.Cli.Terminal;

namespace Myelin.Cli.Generate;

/// <summary>Words in, a picture out, with progress and a preview where the terminal can show one.</summary>
internal static class GenerateCommand
{
    public static Command Create()
    {
        var options = new GenerateOptions();
        var command = options.Attach(new Command("generate", "Makes a picture from words"));
        command.SetAction(Session.Action((session, cancellationToken) => RunAsync(session, options, cancellationToken)));
        return command.WithExamples(
            "myelin generate \"red apple\" -o apple.png --steps 20 --seed 7",
            "myelin generate \"cat and heart\" --count 4 -o cats.png --preview",
            "myelin generate \"blue car\" --image sketch.png --strength 0.6 -o car.png",
            "myelin generate \"red apple\" -o - | file -");
    }

    private static async Task<int> RunAsync(Session session, GenerateOptions options, CancellationToken cancellationToken)
    {
        var arguments = session.Arguments;
        var prompt = arguments.GetValue(options.Prompt)!;
        if (prompt == "-")
        {
            prompt = (await Console.In.ReadToEndAsync(cancellationToken)).Trim();
        }

        var target = arguments.GetValue(options.Out);
        if (target == "-" && session.Output.Json)
        {
            throw new UsageException("-o - and --json would share standard output; name a file.");
        }

        var files = InputFiles(arguments, options);
        var model = await ModelChoice.FindAsync(session.Client, arguments.GetValue(options.Model), ["text-to-image"], cancellationToken);
        var submission = new JobSubmission(model.Name) { Parameters = Build(arguments, options, model, prompt).Json };
        var job = await SubmitAsync(session.Client, submission, files, cancellationToken);

        var graphics = Choose(arguments, options, session.Output);
        using (var live = new LivePicture(graphics, session.Output.CanAnimate))
        {
            var watch = new PreviewWatch(session.Client, live, wanted: graphics != Graphics.None);
            job = await JobFollower.FollowAsync(session.Client, job, watch.ChangedAsync, cancelOnLeave: true, session.Output, cancellationToken);
        }

        var saved = job.State == JobState.Succeeded ? await SaveAsync(session, job, target, prompt, cancellationToken) : [];
        if (session.Output.Json)
        {
            JobJson.Write(session.Output, job, file: null, saved: null);
        }

        foreach (var line in saved)
        {
            if (session.Output.Json)
            {
                session.Output.Note(line);
            }
            else
            {
                session.Output.Line(line);
            }
        }

        return JobFailure.Report(job, "", session.Output);
    }

    private static async Task<Job> SubmitAsync(
        MyelinClient client, JobSubmission submission, IReadOnlyDictionary<string, InputFile> inputs, CancellationToken cancellationToken)
    {
        var open = new List<JobFile>();
        try
        {
            foreach (var (name, file) in inputs)
            {
                open.Add(new(name, file.Open(), file.ContentType, Path.GetFileName(file.Name)));
            }

            return await client.SubmitAsync(submission with { Files = open }, cancellationToken);
        }
        finally
        {
            foreach (var file in open)
            {
                await file.Content.DisposeAsync();
            }
        }
    }

    private static Dictionary<string, InputFile> InputFiles(ParseResult arguments, GenerateOptions options)
    {
        var files = new Dictionary<string, InputFile>();
        foreach (var (name, option) in new[] { ("image", options.Image), ("mask", options.Mask) })
        {
            if (arguments.GetValue(option) is { } path)
            {
                files[name] = InputFile.Expand([path])[0];
            }
        }

        return files.ContainsKey("mask") && !files.ContainsKey("image") ? throw new UsageException("--mask needs --image: the picture that is painted anew.") : files;
    }

    private static Parameters Build(ParseResult arguments, GenerateOptions options, Model model, string prompt)
    {
        var parameters = new Parameters(model)
            .Add("prompt", prompt)
            .Add("negativePrompt", arguments.GetValue(options.Negative))
            .Add("steps", arguments.GetValue(options.Steps))
            .Add("guidance", arguments.GetValue(options.Guidance))
            .Add("sampler", arguments.GetValue(options.Sampler))
            .Add("seed", arguments.GetValue(options.Seed))
            .Add("count", arguments.GetValue(options.Count))
            .Add("strength", arguments.GetValue(options.Strength))
            .Add(arguments.GetValue(options.Parameter)!);
        if (arguments.GetValue(options.Size) is { } size)
        {
            var sides = size.Split('x', 'X', '×');
            if (sides.Length != 2
                || !int.TryParse(sides[0], NumberStyles.None, CultureInfo.InvariantCulture, out var width)
                || !int.TryParse(sides[1], NumberStyles.None, CultureInfo.InvariantCulture, out var height))
            {
                throw new UsageException($"--size {size} is not width x height, such as 512x512.");
            }

            parameters.Add("width", width).Add("height", height);
        }

        return parameters;
    }

    private static Graphics Choose(ParseResult arguments, GenerateOptions options, Output output)
    {
        if (!output.CanAnimate)
        {
            return Graphics.None;
        }

        var detected = GraphicsDetection.Detect(Environment.GetEnvironmentVariable);
        var asked = arguments.GetResult(options.Preview) is { Implicit: false } result ? (result.Tokens is [var first, ..] ? first.Value : "") : "auto";
        return asked switch
        {
            "auto" => detected,
            "" => detected == Graphics.None ? Graphics.Blocks : detected,
            _ => Enum.Parse<Graphics>(asked, ignoreCase: true),
        };
    }

    private static async Task<List<string>> SaveAsync(Session session, Job job, string? target, string prompt, CancellationToken cancellationToken)
    {
        var images = job.Result is { } result && result.TryGetProperty("images", out var list)
            ? list.EnumerateArray().Select(i => (Name: i.GetProperty("artifact").GetString(), Seed: i.TryGetProperty("seed", out var s) ? s.GetInt64() : 0)).ToList()
            : [];
        if (target == "-" && images.Count > 1)
        {
            throw new UsageException($"-o - writes one picture, and there are {images.Count}: myelin jobs fetch {job.Id}");
        }

        var names = new PictureNames(target, prompt);
        var saved = new List<string>();
        for (var i = 0; i < images.Count; i++)
        {
            var artifact = job.Artifacts.First(a => a.Name == images[i].Name);
            var path = names.For(i, images.Count, artifact);
            await ArtifactSaver.SaveAsync(session.Client, artifact, path, cancellationToken);
            if (path != "-")
            {
                saved.Add(string.Create(CultureInfo.InvariantCulture, $"{path}\tseed {images[i].Seed}"));
            }
        }

        return saved;
    }
}
