using Myelin.Hosting.Configuration;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Runtimes.Sidecars;
using Myelin.Inference.Tasks;

namespace Myelin.Serving.Models;

/// <summary>From a model's folder to an entry, and from its definition to a task that runs.</summary>
internal sealed class ModelLoader(MyelinOptions options, SidecarSupervisor sidecars)
{
    public ImagingLimits Limits { get; } = new()
    {
        MaxBytes = options.Input.MaxBytes,
        MaxMegapixels = options.Input.MaxMegapixels,
    };

    /// <summary>Validates a folder without loading weights; everything that is wrong ends up in the entry.</summary>
    public static ModelEntry Read(string folder)
    {
        try
        {
            return Validate(folder);
        }
        catch (Exception e)
        {
            // Whatever a stranger's folder provokes, it breaks that model alone.
            return new ModelEntry { Name = Path.GetFileName(folder), State = ModelState.Broken, Errors = [new ModelError("", "", $"cannot be read: {e.Message}")] };
        }
    }

    private static ModelEntry Validate(string folder)
    {
        var valid = ModelFolder.TryLoad(folder, out var revisions, out var errors);
        var definition = valid ? revisions[^1] : null;
        return new ModelEntry
        {
            Name = Path.GetFileName(folder),
            State = valid ? ModelState.Available : ModelState.Broken,
            Definition = definition,
            Contract = definition is null ? null : TaskContracts.For(definition),
            Revisions = [.. revisions.Select(r => r.Revision)],
            Errors = errors,
        };
    }

    /// <exception cref="ModelException">The weights do not load or do not fit the definition.</exception>
    public async Task<ITask> LoadAsync(ModelDefinition definition, CancellationToken cancellationToken) => definition.Sidecar is null
        ? await TaskLoader.CreateAsync(
            definition,
            new OnnxOptions
            {
                IntraOpThreads = options.Runtime.IntraOpThreads == 0 ? Environment.ProcessorCount : options.Runtime.IntraOpThreads,
            },
            Limits,
            cancellationToken)
        : await TaskLoader.CreateAsync(definition, await sidecars.OpenAsync(definition, TaskLoader.Networks(definition), cancellationToken), Limits, cancellationToken);

    /// <summary>What executes the model, as <c>/v1/models</c> shows it.</summary>
    public ModelRuntime Describe(ModelDefinition definition)
    {
        if (definition.Sidecar is null)
        {
            return new ModelRuntime("onnx", "native");
        }

        if (sidecars.Find(definition) is not { } status)
        {
            return new ModelRuntime("sidecar", definition.Sidecar.Addresses is [var first, ..] ? first.Transport.ToString().ToLowerInvariant() : definition.Sidecar.Transport);
        }

        return new ModelRuntime("sidecar", status.Transport)
        {
            State = Name(status.State),
            Product = status.Product,
            Version = status.Version,
            Restarts = status.Endpoints.Sum(e => e.Restarts),
            Processes = [.. status.Endpoints.Select(e => new ModelProcess(e.Address, Name(e.State), e.Pid, e.Restarts, e.Calls, e.Limits, e.Error, e.Log))],
        };
    }

    private static string Name(SidecarState state) => state.ToString().ToLowerInvariant();
}
