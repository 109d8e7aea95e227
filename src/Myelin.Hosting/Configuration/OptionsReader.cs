using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;
using static Myelin.Inference.Models.Nearest;

namespace Myelin.Hosting.Configuration;

/// <summary>
/// Reads <see cref="MyelinOptions"/> from <c>myelin.yaml</c>, the environment and the flags, the later winning.
/// Every error is reported at once, each with the place it came from and the cure.
/// </summary>
internal static class OptionsReader
{
    private const long MaxFileBytes = 1 << 20;

    /// <param name="args">Flags as <c>--name value</c> or <c>--name=value</c>; a boolean flag may stand alone.</param>
    /// <param name="environment">Looks an environment variable up.</param>
    public static (MyelinOptions Options, IReadOnlyList<string> Errors) Read(IReadOnlyList<string> args, Func<string, string?> environment) =>
        Read(args, environment, []);

    /// <param name="args"><inheritdoc cref="Read(IReadOnlyList{string}, Func{string, string?})"/></param>
    /// <param name="environment"><inheritdoc cref="Read(IReadOnlyList{string}, Func{string, string?})"/></param>
    /// <param name="sections">Settings that capabilities keep to themselves.</param>
    public static (MyelinOptions Options, IReadOnlyList<string> Errors) Read(
        IReadOnlyList<string> args, Func<string, string?> environment, IReadOnlyList<(string Name, object Settings)> sections)
    {
        var options = new MyelinOptions { Sections = sections };
        var settings = Setting.Of(options);
        var errors = new List<string>();
        var flags = Flags(args, settings, errors);

        foreach (var (key, text) in File(flags.Remove("--config", out var path) ? path : environment("MYELIN_CONFIG"), errors))
        {
            Apply(settings.FirstOrDefault(s => s.Key == key), $"myelin.yaml: {key}", text, settings.Select(s => s.Key), errors);
        }

        foreach (var setting in settings)
        {
            if (environment(setting.Environment) is { Length: > 0 } text)
            {
                Apply(setting, setting.Environment, text, [], errors);
            }
            else if (environment($"{setting.Environment}_FILE") is { Length: > 0 } secret && Secret($"{setting.Environment}_FILE", secret, errors) is { } content)
            {
                Apply(setting, $"{setting.Environment}_FILE", content, [], errors);
            }
        }

        foreach (var (flag, text) in flags)
        {
            Apply(settings.FirstOrDefault(s => s.Flag == flag), flag, text, settings.Select(s => s.Flag), errors);
        }

        errors.AddRange(RolesCheck.Errors(options));
        return (options, errors);
    }

    /// <summary>What orchestrators give as a file that only this process reads; the newline at its end is not part of it.</summary>
    private static string? Secret(string variable, string path, List<string> errors)
    {
        try
        {
            if (!System.IO.File.Exists(path))
            {
                errors.Add($"{variable}: there is no file '{path}'");
                return null;
            }

            if (new FileInfo(path).Length <= MaxFileBytes)
            {
                return System.IO.File.ReadAllText(path).TrimEnd('\r', '\n');
            }

            errors.Add($"{variable}: {path} is larger than {MaxFileBytes} bytes");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            errors.Add($"{variable}: {e.Message}");
        }

        return null;
    }

    private static void Apply(Setting? setting, string place, string text, IEnumerable<string> known, List<string> errors)
    {
        if (setting is null)
        {
            var name = place[(place.LastIndexOf(' ') + 1)..];
            errors.Add($"{place}: unknown; did you mean {Nearest(name, known)}? --help lists all");
        }
        else if (SettingValue.Parse(setting, text, out var error) is { } value)
        {
            setting.Set(value);
        }
        else
        {
            errors.Add($"{place}: {error}");
        }
    }

    private static Dictionary<string, string> Flags(IReadOnlyList<string> args, IReadOnlyList<Setting> settings, List<string> errors)
    {
        var flags = new Dictionary<string, string>();
        for (var i = 0; i < args.Count; i++)
        {
            if (!args[i].StartsWith("--", StringComparison.Ordinal))
            {
                errors.Add($"'{args[i]}': not a flag; flags are --name value, --help lists them");
                continue;
            }

            var equals = args[i].IndexOf('=', StringComparison.Ordinal);
            var name = equals < 0 ? args[i] : args[i][..equals];
            var hasNext = i + 1 < args.Count && !args[i + 1].StartsWith("--", StringComparison.Ordinal);
            var boolean = settings.FirstOrDefault(s => s.Flag == name)?.Type == typeof(bool);
            if (equals >= 0)
            {
                flags[name] = args[i][(equals + 1)..];
            }
            else if (hasNext && (!boolean || args[i + 1] is "true" or "false"))
            {
                flags[name] = args[++i];
            }
            else if (boolean)
            {
                flags[name] = "true";
            }
            else
            {
                errors.Add($"{name}: needs a value");
            }
        }

        return flags;
    }

    private static IEnumerable<(string Key, string Text)> File(string? path, List<string> errors)
    {
        if (path is null && !System.IO.File.Exists("myelin.yaml"))
        {
            return [];
        }

        path ??= "myelin.yaml";
        if (!System.IO.File.Exists(path))
        {
            errors.Add($"--config: there is no file '{path}'");
            return [];
        }

        try
        {
            if (new FileInfo(path).Length > MaxFileBytes)
            {
                errors.Add($"{path}: larger than {MaxFileBytes} bytes");
                return [];
            }

            using var reader = new StreamReader(path);
            var yaml = new YamlStream();
            yaml.Load(reader);
            return yaml.Documents.Count == 0 ? [] : Flatten(yaml.Documents[0].RootNode, "", errors).ToArray();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or YamlException)
        {
            errors.Add($"{path}: {e.Message}");
            return [];
        }
    }

    private static IEnumerable<(string Key, string Text)> Flatten(YamlNode node, string above, List<string> errors)
    {
        switch (node)
        {
            case YamlMappingNode mapping:
                return mapping.SelectMany(pair => Flatten(pair.Value, above.Length == 0 ? pair.Key.ToString() : $"{above}.{pair.Key}", errors));
            case YamlScalarNode scalar when above.Length > 0:
                return [(above, scalar.Value ?? "")];
            case YamlSequenceNode sequence when sequence.All(n => n is YamlScalarNode):
                return [(above, string.Join(',', sequence))];
            default:
                errors.Add($"myelin.yaml: {above}: expected a value, a list of values or a section");
                return [];
        }
    }

    private static string Nearest(string name, IEnumerable<string> known) =>
        known.MinBy(k => Distance(k, name)) ?? "--help";
}
