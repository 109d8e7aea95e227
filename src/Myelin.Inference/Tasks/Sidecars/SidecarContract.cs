using Myelin.Inference.Models;

namespace Myelin.Inference.Tasks.Sidecars;

/// <summary>
/// What a caller gives to a model that a sidecar executes. Known before the sidecar has said whether it does the whole
/// task: the task's ordinary contract where <c>model.yaml</c> holds what the worker needs to do it, otherwise an open one.
/// The section <c>contract</c> adds files and parameters or replaces those of the same name.
/// </summary>
internal static class SidecarContract
{
    private const int Most = 64;

    private static readonly string[] s_kinds = ["image", "json", "file"];
    private static readonly string[] s_types = ["number", "integer", "string", "boolean"];

    public static TaskContract For(ModelDefinition definition)
    {
        var section = new SettingsReader("model.yaml", definition.Settings, []);
        var (files, parameters) = Read(section);
        var ordinary = Ordinary(definition);
        return ordinary with
        {
            Files = [.. ordinary.Files.Where(o => files.All(f => f.Name != o.Name)), .. files],
            Parameters = [.. ordinary.Parameters.Where(o => parameters.All(p => p.Name != o.Name)), .. parameters],
        };
    }

    /// <summary>Reads the section and collects what is wrong in it.</summary>
    public static (IReadOnlyList<ModelInput> Files, IReadOnlyList<ModelParameter> Parameters) Read(SettingsReader reader)
    {
        var section = reader.Section("contract");
        var files = section.Sections("files", Most).Select(File).ToList();
        var parameters = section.Sections("parameters", Most).Select(Parameter).ToList();
        return (files, parameters);
    }

    private static TaskContract Ordinary(ModelDefinition definition)
    {
        if (TaskKinds.Find(definition.Task) is not { } kind)
        {
            return new TaskContract(definition.Task, [], []) { Open = true };
        }

        var errors = new List<ModelError>();
        kind.Check(new SettingsReader("model.yaml", definition.Settings, errors), definition.Labels);
        if (errors.Count > 0)
        {
            return new TaskContract(definition.Task, [ParameterSpecs.Image], []) { Open = true };
        }

        // What belongs to a network beside its weights is here where the worker does the task: tokenizers, alphabets.
        var complete = kind.Weights(definition).All(w => w.File.EndsWith(".onnx", StringComparison.Ordinal) || System.IO.File.Exists(Path.Combine(definition.Folder, w.File)));
        return kind.Contract(definition) with { Open = !complete };
    }

    private static ModelInput File(SettingsReader reader) => new(
        Name(reader), reader.Text("kind", choices: s_kinds) ?? "image", reader.Flag("required") ?? true, reader.Text("description") ?? "");

    private static ModelParameter Parameter(SettingsReader reader) => new(
        Name(reader), reader.Text("type", choices: s_types) ?? "string", reader.Text("description") ?? "")
    {
        Minimum = reader.Number("minimum", -1e18, 1e18),
        Maximum = reader.Number("maximum", -1e18, 1e18),
        MultipleOf = reader.Number("multipleOf", 1e-9, 1e18),
        Choices = reader.Texts("choices", 256),
        Default = reader.Value("default"),
        Required = reader.Flag("required") ?? false,
    };

    private static string Name(SettingsReader reader)
    {
        var name = reader.Text("name", required: true) ?? "";
        if (name.Length is 0 or > 64 || name == "parameters" || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-'))
        {
            reader.Error("name", $"is '{name}', but must be 1 to 64 letters, digits, '-' or '_', and not 'parameters'");
        }

        return name;
    }
}
