using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks.Images;
using Myelin.Inference.Tasks.Sidecars;

namespace Myelin.Inference.Tasks;

/// <summary>Definition → loaded model.</summary>
public static class TaskLoader
{
    /// <summary>Files of the networks that a model's task asks for; one where the task is the sidecar's own.</summary>
    /// <exception cref="ModelException">The task's sections, which nobody checks before where a sidecar does the task, are wrong.</exception>
    public static IReadOnlyList<string> Networks(ModelDefinition definition) => TaskKinds.Find(definition.Task)?.Networks(definition) ?? ["model.onnx"];

    /// <summary>Loads the weights from the revision's folder into this process and makes the task ready for concurrent calls.</summary>
    /// <exception cref="ModelException">The network does not load or does not fit its <c>model.yaml</c>; lists all that is wrong.</exception>
    public static Task<ITask> CreateAsync(ModelDefinition definition, OnnxOptions options, ImagingLimits limits, CancellationToken cancellationToken) =>
        CreateAsync(definition, new OnnxRuntimeSource(definition.Folder, options with { Instances = definition.Instances.Count, Device = definition.Instances.Device }), limits, cancellationToken);

    /// <summary>
    /// Makes the task over the networks of <paramref name="source"/>, which it owns from now on, also where this fails.
    /// Takes milliseconds to minutes; the caller owns and disposes the task.
    /// </summary>
    /// <exception cref="ModelException">A network does not load or does not fit its <c>model.yaml</c>; lists all that is wrong.</exception>
    public static async Task<ITask> CreateAsync(ModelDefinition definition, IRuntimeSource source, ImagingLimits limits, CancellationToken cancellationToken)
    {
        try
        {
            return new SourcedTask(await OverAsync(definition, source, limits, cancellationToken).ConfigureAwait(false), source);
        }
        catch (Exception fault)
        {
            await source.DisposeAsync().ConfigureAwait(false);
            if (fault is RuntimeException)
            {
                throw new ModelException([new ModelError($"{definition.Revision}/", "", fault.Message)]);
            }

            throw;
        }
    }

    private static async Task<ITask> OverAsync(ModelDefinition definition, IRuntimeSource source, ImagingLimits limits, CancellationToken cancellationToken)
    {
        if (source.DeclaredTask is { } declared)
        {
            return declared == definition.Task
                ? new SidecarTask(definition.Name, await source.OpenAsync("model.onnx", cancellationToken).ConfigureAwait(false))
                : throw Misfit("task", $"is {definition.Task}, but the sidecar says that it does {declared}");
        }

        var kind = TaskKinds.Find(definition.Task) ?? throw TaskKinds.Unknown(definition);
        if (definition.Sidecar is not null)
        {
            CheckSections(kind, definition); // not before: a sidecar that does the task needs none of them
        }

        return await kind.Create(definition, source, limits, cancellationToken).ConfigureAwait(false);
    }

    private static void CheckSections(TaskKind kind, ModelDefinition definition)
    {
        var errors = new List<ModelError>();
        kind.Check(new SettingsReader("model.yaml", definition.Settings, errors), definition.Labels);
        if (errors.Count > 0)
        {
            throw new ModelException(errors);
        }
    }

    /// <summary>Binds the task's sections of a definition that has been checked before.</summary>
    internal static T Bind<T>(ModelDefinition definition, Func<SettingsReader, T> bind)
    {
        var errors = new List<ModelError>();
        var settings = bind(new SettingsReader("model.yaml", definition.Settings, errors));
        return errors.Count == 0 ? settings : throw new ModelException(errors);
    }

    /// <summary>Makes the task over a runtime it then owns; where that fails, the runtime is disposed.</summary>
    internal static T Use<T>(IRuntime runtime, Func<IRuntime, T> make)
    {
        try
        {
            return make(runtime);
        }
        catch
        {
            _ = runtime.DisposeAsync().AsTask(); // ends at once: it has no calls
            throw;
        }
    }

    /// <summary>The preprocessor of a network, checked against its signature.</summary>
    /// <param name="input">The section.</param>
    /// <param name="runtime">The network.</param>
    /// <param name="others">What else is wrong: all is reported at once.</param>
    internal static ImagePreprocessor Preprocessor(ImageInput input, IRuntime runtime, IReadOnlyList<ModelError> others)
    {
        try
        {
            var preprocessor = new ImagePreprocessor(input, runtime.Inputs);
            return others.Count == 0 ? preprocessor : throw new ModelException(others);
        }
        catch (ArgumentException fault)
        {
            throw new ModelException([new ModelError("model.yaml", "input", fault.Message), .. others]);
        }
    }

    /// <summary>Turns what a task finds out from the loaded network into the error that a person reads.</summary>
    internal static ModelException Misfit(string key, string message) => new([new ModelError("model.yaml", key, message)]);
}
