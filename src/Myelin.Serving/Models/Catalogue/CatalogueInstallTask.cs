using System.Text.Json;
using Myelin.Inference;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks;

namespace Myelin.Serving.Models.Catalogue;

/// <summary>
/// Installs a model of the catalogue as a job, so that it is durable, shows progress (steps are bytes) and can be
/// cancelled. The folder appears in the repository whole, by one rename, or in one exchange with the version before it, after every hash was checked.
/// </summary>
internal sealed class CatalogueInstallTask(Catalogue catalogue, ModelDownloader downloader, ModelRepository models, TimeProvider time) : ITask
{
    /// <summary>The system model that installations are jobs of.</summary>
    public const string Model = "@catalogue";

    private static readonly TimeSpan s_progressInterval = TimeSpan.FromMilliseconds(100);

    /// <summary>One installation at a time puts its folder in place, whoever asked for it.</summary>
    private readonly Lock _publish = new();

    public async Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken)
    {
        var name = input.Parameters.GetProperty("name").GetString()!;
        var entry = catalogue.Find(name) ?? throw new InputException("name", $"'{name}' is not in the catalogue; GET /v1/catalogue lists what is");
        var staging = Directory.CreateDirectory(Path.Combine(models.Folder, ".installing", Path.GetRandomFileName()));
        try
        {
            Copy(entry.Folder, staging.FullName);
            var before = 0L;
            var reported = 0L;
            foreach (var file in entry.Files)
            {
                var target = Path.Combine(staging.FullName, file.Path);
                Directory.CreateDirectory(Path.GetDirectoryName(target)!);
                await downloader.FetchAsync(file, target, new Callback(bytes => Report(before + bytes)), cancellationToken);
                before += file.Size;
            }

            lock (_publish)
            {
                FolderSwap.Put(staging.FullName, Path.Combine(models.Folder, name));
                models.Rescan(settle: false);
            }

            var installed = models.Find(name);
            return installed is { State: ModelState.Broken }
                ? throw new ModelException(installed.Errors)
                : new TaskResult(JsonSerializer.SerializeToUtf8Bytes(new { model = name, bytes = entry.Size }), []);

            void Report(long bytes)
            {
                if (bytes == entry.Size || time.GetElapsedTime(reported) >= s_progressInterval)
                {
                    reported = time.GetTimestamp();
                    progress.Report(new TaskProgress(Kilobytes(bytes), Kilobytes(entry.Size)));
                }
            }
        }
        finally
        {
            if (Directory.Exists(staging.FullName))
            {
                Directory.Delete(staging.FullName, recursive: true);
            }
        }
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static int Kilobytes(long bytes) => (int)((bytes + 1023) / 1024);

    private static void Copy(string from, string to)
    {
        foreach (var file in Directory.EnumerateFiles(from).Where(f => Path.GetFileName(f) != "catalogue.yaml"))
        {
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        }
    }

    private sealed class Callback(Action<long> report) : IProgress<long>
    {
        public void Report(long value) => report(value);
    }
}
