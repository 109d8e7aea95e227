using Myelin.Inference.Models;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>A network that a task asks for by the name of its file, and what a sidecar may call it.</summary>
/// <param name="File">Within the revision's folder, such as <c>unet/model.onnx</c>.</param>
/// <param name="Names">What it may be called, best first.</param>
/// <param name="Only">The task asks for no other: a sidecar with one network serves it, whatever that is called.</param>
internal sealed record SidecarNetwork(string File, IReadOnlyList<string> Names, bool Only)
{
    /// <param name="definition">The model.</param>
    /// <param name="file">Within the revision's folder.</param>
    /// <param name="count">Networks that the task asks for.</param>
    public static SidecarNetwork Of(ModelDefinition definition, string file, int count)
    {
        var name = file.EndsWith(".onnx", StringComparison.Ordinal) ? file[..^5] : file;
        if (count > 1)
        {
            return new SidecarNetwork(file, name.EndsWith("/model", StringComparison.Ordinal) ? [name, name[..^6]] : [name], false);
        }

        return definition.Sidecar?.Model is { } said
            ? new SidecarNetwork(file, [said], false)
            : new SidecarNetwork(file, [.. new[] { name, definition.Name }.Distinct()], true);
    }

    /// <summary>The one of <paramref name="served"/> that is meant; null where none is. A sidecar that does a whole task is asked for nothing else.</summary>
    public string? Choose(IReadOnlyList<(string Name, string? Task)> served) => served switch
    {
        _ when Names.FirstOrDefault(name => served.Any(s => s.Name == name)) is { } named => named,
        [var only] when Only || only.Task is not null => only.Name,
        _ => served.Where(s => s.Task is not null).ToList() is [var whole] ? whole.Name : null,
    };

    public RuntimeException NotServed(IEnumerable<string> served) => new(
        $"the sidecar serves {string.Join(", ", served)}, but the task asks for '{File}'; it must be called {string.Join(" or ", Names.Select(n => $"'{n}'"))}, or name it with sidecar.model", retryable: false)
    {
        Code = SidecarErrors.UnknownModel,
    };
}
