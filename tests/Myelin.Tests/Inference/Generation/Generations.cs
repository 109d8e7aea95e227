using System.Collections.Concurrent;
using System.Text.Json;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks;
using Myelin.Testing;

namespace Myelin.Tests.Inference.Generation;

/// <summary>Loads models and makes inputs for tests of the text-to-image task.</summary>
internal static class Generations
{
    public static Task<ITask> LoadAsync(string model, string settings = "{}") => LoadFolderAsync(Golden.Folder(model), settings);

    public static Task<ITask> LoadFolderAsync(string folder, string settings = "{}") =>
        TaskLoader.CreateAsync(Definition(folder, settings), new OnnxOptions(), new ImagingLimits(), CancellationToken.None);

    public static ModelDefinition Definition(string folder, string settings = "{}") => new()
    {
        Name = Path.GetFileName(folder),
        Revision = "1",
        Task = TaskNames.TextToImage,
        ModelFolder = folder,
        Folder = folder,
        Settings = JsonDocument.Parse(settings).RootElement,
    };

    public static TaskInput Input(object parameters, string? image = null, string? mask = null)
    {
        var files = new Dictionary<string, TaskFile>();
        foreach (var (part, file) in (ReadOnlySpan<(string, string?)>)[("image", image), ("mask", mask)])
        {
            if (file is not null)
            {
                files[part] = new TaskFile("image/png", File.ReadAllBytes(Shared.Require("goldens", file)));
            }
        }

        return new TaskInput(files, JsonSerializer.SerializeToElement(parameters));
    }

    public static byte[] Pixels(ReadOnlyMemory<byte> png)
    {
        using var picture = Picture.Decode(png, new ImagingLimits());
        return picture.Pixels.ToArray();
    }
}

/// <summary>Keeps the events of a job; a callback sees each as it comes.</summary>
internal sealed class Events(Action<TaskProgress>? seen = null) : IProgress<TaskProgress>
{
    public ConcurrentQueue<TaskProgress> All { get; } = [];

    public void Report(TaskProgress value)
    {
        All.Enqueue(value);
        seen?.Invoke(value);
    }
}
