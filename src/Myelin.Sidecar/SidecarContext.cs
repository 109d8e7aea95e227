namespace Myelin.Sidecar;

/// <summary>Where a sidecar runs; from the environment that the supervisor sets.</summary>
/// <param name="ModelName">Such as <c>faces</c>; <c>model</c> when started by hand.</param>
/// <param name="Revision">Such as <c>1</c>.</param>
/// <param name="ModelFolder">Absolute path of the folder with <c>model.yaml</c>.</param>
/// <param name="RevisionFolder">Absolute path of the folder with the weights.</param>
public sealed record SidecarContext(string ModelName, string Revision, string ModelFolder, string RevisionFolder)
{
    /// <summary>Reads <c>MYELIN_MODEL_NAME</c>, <c>…_REVISION</c>, <c>…_FOLDER</c> and <c>MYELIN_REVISION_FOLDER</c>; the current folder where they are not set.</summary>
    public static SidecarContext FromEnvironment()
    {
        var folder = Variable("MYELIN_MODEL_FOLDER", Environment.CurrentDirectory);
        return new SidecarContext(
            Variable("MYELIN_MODEL_NAME", "model"), Variable("MYELIN_MODEL_REVISION", "1"), folder, Variable("MYELIN_REVISION_FOLDER", folder));
    }

    private static string Variable(string name, string otherwise) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : otherwise;
}
