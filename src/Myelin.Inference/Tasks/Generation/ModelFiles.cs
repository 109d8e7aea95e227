using System.Text.Json;
using Myelin.Inference.Models;

namespace Myelin.Inference.Tasks.Generation;

/// <summary>Reads the files of a model folder; every fault names the file and tells the cure.</summary>
internal sealed class ModelFiles(string folder)
{
    private const int LongestText = 64 << 20;

    public string PathOf(string file) => Path.Combine(folder, file);

    public bool Has(string file) => File.Exists(PathOf(file));

    /// <summary>A JSON object.</summary>
    /// <exception cref="ModelException">Missing, too large or no JSON object.</exception>
    public JsonElement Json(string file)
    {
        try
        {
            using var document = JsonDocument.Parse(Read(file));
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? document.RootElement.Clone()
                : throw Broken(file, "", "must hold a JSON object");
        }
        catch (JsonException fault)
        {
            throw Broken(file, "", $"is no JSON: {fault.Message}");
        }
    }

    /// <summary>As <see cref="Json"/>, or null where there is no such file.</summary>
    public JsonElement? TryJson(string file) => Has(file) ? Json(file) : null;

    public IEnumerable<string> Lines(string file) => System.Text.Encoding.UTF8.GetString(Read(file)).Split('\n').Select(l => l.TrimEnd('\r'));

    /// <summary>Path of a part that must be there.</summary>
    /// <exception cref="ModelException">It is not.</exception>
    public string Require(string file) => Has(file)
        ? PathOf(file)
        : throw Broken(file, "", "is missing; the folder must be a complete diffusers ONNX export");

    public static ModelException Broken(string file, string key, string message) => new([new ModelError(file, key, message)]);

    private byte[] Read(string file)
    {
        try
        {
            var path = Require(file);
            return new FileInfo(path).Length <= LongestText
                ? File.ReadAllBytes(path)
                : throw Broken(file, "", $"is larger than {LongestText >> 20} MiB, which no configuration is");
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw Broken(file, "", $"cannot be read: {fault.Message}");
        }
    }
}
