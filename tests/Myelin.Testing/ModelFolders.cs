namespace Myelin.Testing;

/// <summary>A temporary model repository for a test, filled from the catalogue's definitions and the mirror's weights.</summary>
public sealed class ModelFolders : IDisposable
{
    public string Root { get; } = Directory.CreateTempSubdirectory("myelin-models-").FullName;

    /// <summary>The tiny networks that most tests need: a fully connected net over four numbers, and a digit classifier.</summary>
    public string AddIris(string name = "iris") => Add(name, "iris", Shared.Zoo("iris.onnx"));

    /// <summary>Copies an entry of the catalogue under <paramref name="name"/> with <paramref name="weights"/> as revision 1.</summary>
    public string Add(string name, string entry, string weights)
    {
        var folder = Path.Combine(Root, name);
        Directory.CreateDirectory(Path.Combine(folder, "1"));
        foreach (var file in Directory.EnumerateFiles(Path.Combine(Shared.Root, "models", "catalogue", entry)).Where(f => !f.EndsWith("catalogue.yaml", StringComparison.Ordinal)))
        {
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        }

        File.Copy(weights, Path.Combine(folder, "1", "model.onnx"));
        return folder;
    }

    /// <summary>A model whose network copies its input, in a Python sidecar.</summary>
    /// <param name="name">The folder's.</param>
    /// <param name="before">Python that runs before it serves; flush left.</param>
    /// <param name="environment">More of the process's, as <c>NAME: 'value'</c>.</param>
    public void AddSidecar(string name, string before = "", string environment = "")
    {
        var folder = Directory.CreateDirectory(Path.Combine(Root, name)).FullName;
        File.WriteAllText(Path.Combine(folder, "serve.py"), $$"""
            from myelin_sidecar import model, serve

            {{before}}

            @model(name="model", inputs=[("x", "FP32", [-1])], outputs=[("y", "FP32", [-1])])
            def same(call):
                return {"y": call.tensor("x")}

            serve(same)
            """);
        File.WriteAllText(Path.Combine(folder, "model.yaml"), $$"""
            task: tensor
            runtime: sidecar
            sidecar:
              command: [/usr/bin/python3, serve.py]
              environment: {PYTHONPATH: '{{Path.Combine(Shared.Root, "sidecars", "python")}}', {{environment}}}
            """);
    }

    public void Dispose() => Directory.Delete(Root, recursive: true);
}
