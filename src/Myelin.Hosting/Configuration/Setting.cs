using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Reflection;
using System.Text;

namespace Myelin.Hosting.Configuration;

/// <summary>One property of the options tree and its three names: YAML key, environment variable, flag.</summary>
internal sealed class Setting
{
    private readonly object _root;
    private readonly PropertyInfo[] _path;

    /// <param name="section">Of a capability's own settings, in the form of a property's name; empty for those of the server.</param>
    private Setting(object root, string section, PropertyInfo[] path, object? defaultValue)
    {
        (_root, _path) = (root, path);
        Default = defaultValue;
        string[] names = section.Length > 0 ? [section, .. path.Select(p => p.Name)] : [.. path.Select(p => p.Name)];
        Key = string.Join('.', names.Select(n => char.ToLowerInvariant(n[0]) + n[1..]));
        var words = string.Join('_', names.Select(Words));
        Environment = "MYELIN_" + words.ToUpperInvariant();
        Flag = "--" + words.ToLowerInvariant().Replace('_', '-');
        Description = path[^1].GetCustomAttribute<DescriptionAttribute>()?.Description ?? "";
        Range = path[^1].GetCustomAttribute<RangeAttribute>() ?? Everywhere(Type);
        Form = path[^1].GetCustomAttribute<FormAttribute>();
        Choices = path[^1].GetCustomAttribute<AllowedValuesAttribute>()?.Values.Cast<string>().ToArray();
    }

    public PropertyInfo Property => _path[^1];

    public string Key { get; }

    public string Environment { get; }

    public string Flag { get; }

    public string Description { get; }

    public object? Default { get; }

    public RangeAttribute? Range { get; }

    public IReadOnlyList<string>? Choices { get; }

    public FormAttribute? Form { get; }

    public Type Type => Nullable.GetUnderlyingType(_path[^1].PropertyType) ?? _path[^1].PropertyType;

    public void Set(object value)
    {
        var owner = _root;
        foreach (var property in _path[..^1])
        {
            owner = property.GetValue(owner)!;
        }

        _path[^1].SetValue(owner, value);
    }

    /// <summary>What holds where no range is declared: nothing is negative, and no time is longer than a timer can wait.</summary>
    private static RangeAttribute? Everywhere(Type type) =>
        type == typeof(TimeSpan) ? new RangeAttribute(type, "00:00:00", "24.00:00:00")
        : type == typeof(long) ? new RangeAttribute(0d, long.MaxValue)
        : type == typeof(int) ? new RangeAttribute(0, int.MaxValue)
        : null;

    /// <summary>Every setting of the server and of its capabilities, in the order of declaration.</summary>
    public static IReadOnlyList<Setting> Of(MyelinOptions options) =>
        [.. Walk(options, "", options, []), .. options.Sections.SelectMany(s => Walk(s.Settings, s.Name, s.Settings, []))];

    private static IEnumerable<Setting> Walk(object root, string section, object owner, PropertyInfo[] above)
    {
        foreach (var property in owner.GetType().GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => p.SetMethod is { IsPublic: true }))
        {
            var value = property.GetValue(owner);
            PropertyInfo[] path = [.. above, property];
            var nested = property.PropertyType is { IsClass: true, Namespace: { } space } && space.StartsWith("Myelin.", StringComparison.Ordinal);
            foreach (var setting in nested ? Walk(root, section, value!, path) : [new Setting(root, section, path, value)])
            {
                yield return setting;
            }
        }
    }

    /// <summary><c>QueueLimit</c> → <c>Queue_Limit</c>.</summary>
    private static string Words(string name)
    {
        var words = new StringBuilder();
        foreach (var letter in name)
        {
            if (char.IsUpper(letter) && words.Length > 0)
            {
                words.Append('_');
            }

            words.Append(letter);
        }

        return words.ToString();
    }
}
