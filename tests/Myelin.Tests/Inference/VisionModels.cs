using System.Text.Json;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks;
using Myelin.Testing;

namespace Myelin.Tests.Inference;

/// <summary>Model folders for tests: the repository's <c>model.yaml</c> with weights of the mirror or of npm linked in.</summary>
internal static class VisionModels
{
    private static readonly Dictionary<string, string> s_weights = new()
    {
        ["cifar10"] = "cifar10_ImageClassifier.onnx",
        ["candy"] = "candy.onnx",
        ["la-muse"] = "la_muse.onnx",
        ["super-resolution"] = "pytorch_super_resolution.onnx",
        ["fastestdet"] = "FastestDet.onnx",
        ["iris"] = "iris.onnx",
        ["masks"] = "RFB-640-masked_face-v2.onnx",
        ["mnist"] = "mnist.onnx",
        ["shufflenet-v2"] = "shufflenet-v2-12-int8.onnx",
        ["ultraface"] = "version-RFB-320.onnx",
        ["yolox-nano"] = "yolox_nano.onnx",
        ["yunet"] = "yunet_n_640_640.onnx",
    };

    public static IEnumerable<string> Catalogue => s_weights.Keys;

    public static string WeightsOf(string name) => Shared.Zoo(s_weights[name]);

    /// <summary>The folder of a built-in model as the build lays it out, or of a catalogue model made for this test.</summary>
    public static string Folder(string name, TemporaryFolder into)
    {
        if (!s_weights.TryGetValue(name, out var file))
        {
            return Path.Combine(AppContext.BaseDirectory, "models", name);
        }

        var folder = Path.Combine(into.Path, name);
        Directory.CreateDirectory(Path.Combine(folder, "1"));
        foreach (var source in Directory.GetFiles(Path.Combine(Shared.Root, "models", "catalogue", name)))
        {
            File.Copy(source, Path.Combine(folder, Path.GetFileName(source)));
        }

        File.CreateSymbolicLink(Path.Combine(folder, "1", "model.onnx"), Shared.Zoo(file));
        return folder;
    }

    public static Task<ITask> LoadAsync(string name, TemporaryFolder into, OnnxOptions? options = null) =>
        TaskLoader.CreateAsync(ModelFolder.Load(Folder(name, into))[^1], options ?? new OnnxOptions(), new ImagingLimits(), CancellationToken.None);

    public static TaskInput Picture(ReadOnlyMemory<byte> bytes, string parameters = "{}") =>
        new(new Dictionary<string, TaskFile> { ["image"] = new("application/octet-stream", bytes) }, JsonDocument.Parse(parameters).RootElement);

    public static async Task<(JsonElement Json, TaskResult Result)> Run(ITask task, string sample, string parameters = "{}")
    {
        var bytes = await File.ReadAllBytesAsync(Shared.Sample(sample));
        var result = await task.RunAsync(Picture(bytes, parameters), new Progress<TaskProgress>(), CancellationToken.None);
        return (JsonDocument.Parse(result.Json).RootElement, result);
    }
}

/// <summary>A folder that goes when the test ends.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("myelin-test-").FullName;

    public string Write(string file, string text)
    {
        var path = System.IO.Path.Combine(Path, file);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
        return path;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
