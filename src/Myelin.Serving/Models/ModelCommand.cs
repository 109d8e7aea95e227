using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Runtimes.Sidecars;
using Myelin.Inference.Tasks;

namespace Myelin.Serving.Models;

/// <summary><c>myelin-server model check FOLDER</c>: what the server would say of a model folder, without a server.</summary>
internal static class ModelCommand
{
    /// <returns>0 when the model loads, 1 when it is broken, 2 for wrong usage.</returns>
    public static async Task<int> RunAsync(IReadOnlyList<string> args)
    {
        if (args is not ["check", var folder])
        {
            await Console.Error.WriteLineAsync("usage: model check FOLDER   (the folder that holds model.yaml)");
            return 2;
        }

        if (!ModelFolder.TryLoad(folder, out var revisions, out var errors))
        {
            return Report(errors);
        }

        var run = Directory.CreateTempSubdirectory("myelin-check-").FullName;
        await using var sidecars = new SidecarSupervisor(new SidecarOptions { RunFolder = run, MaxCrashes = 1 }, TimeProvider.System, NullLoggerFactory.Instance);
        try
        {
            foreach (var revision in revisions)
            {
                await using var task = revision.Sidecar is null
                    ? await TaskLoader.CreateAsync(revision, new OnnxOptions(), new ImagingLimits(), CancellationToken.None)
                    : await TaskLoader.CreateAsync(revision, await sidecars.OpenAsync(revision, TaskLoader.Networks(revision), CancellationToken.None), new ImagingLimits(), CancellationToken.None);
                Console.WriteLine($"✓ {revision.Name} revision {revision.Revision}: {revision.Task}, loads{By(sidecars.Find(revision))}");
            }

            return 0;
        }
        catch (ModelException e)
        {
            return Report(e.Errors);
        }
        finally
        {
            await sidecars.DisposeAsync();
            Directory.Delete(run, recursive: true);
        }
    }

    private static string By(SidecarStatus? sidecar) =>
        sidecar is null ? "" : $", in a sidecar over {sidecar.Transport} ({sidecar.Product ?? "unnamed"})";

    private static int Report(IReadOnlyList<ModelError> errors)
    {
        foreach (var error in errors)
        {
            Console.Error.WriteLine($"✗ {error.File}{(error.Key.Length == 0 ? "" : $" · {error.Key}")}: {error.Message}");
            if (error.Log is { } log)
            {
                Console.Error.WriteLine($"  its log ends with:\n{log}");
            }
        }

        return 1;
    }
}
