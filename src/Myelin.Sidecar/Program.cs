using Myelin.Inference.Runtimes.Onnx;
using Myelin.Sidecar;

// `myelin-sidecar --listen unix:/run/x.sock [FOLDER]`: every *.onnx of the revision's folder, each a model by its file name.
var folder = args is [.., var last] && !last.StartsWith("--", StringComparison.Ordinal) && (args.Length < 2 || args[^2] != "--listen")
    ? Path.GetFullPath(last)
    : SidecarContext.FromEnvironment().RevisionFolder;
var files = Directory.Exists(folder) ? Directory.GetFiles(folder, "*.onnx") : [];
if (files.Length == 0)
{
    await Console.Error.WriteLineAsync($"There is no .onnx file in '{folder}'. Usage: myelin-sidecar --listen unix:/path.sock [FOLDER]").ConfigureAwait(false);
    return 2;
}

Array.Sort(files, StringComparer.Ordinal);
return await SidecarHost.RunAsync(args, [.. files.Select(file => new OnnxModel(Path.GetFileNameWithoutExtension(file), file, new OnnxOptions { IntraOpThreads = 0 }))]).ConfigureAwait(false);
