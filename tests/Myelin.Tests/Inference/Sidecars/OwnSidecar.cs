using System.Diagnostics;
using Myelin.Protocol.Sidecars;

namespace Myelin.Tests.Inference.Sidecars;

/// <summary>A sidecar that the test runs itself, as an operator would, at an address.</summary>
internal sealed class OwnSidecar(SidecarModels models, string address) : IAsyncDisposable
{
    private Process? _process;

    public SidecarAddress Address { get; } = Parse(address);

    public int Pid => _process!.Id;

    public static SidecarAddress Parse(string text) => SidecarAddress.TryParse(text, out var address) ? address : throw new ArgumentException(text);

    public void Start()
    {
        _process?.Dispose();
        var script = models.Write("own-" + Path.GetFileNameWithoutExtension(address)).ModelFolder + "/serve.py"; // its own: another may be reading his
        var start = new ProcessStartInfo("/usr/bin/python3", [script, "--listen", address]) { RedirectStandardError = true };
        start.Environment["PYTHONPATH"] = SidecarModels.PythonPath;
        start.Environment["TMPDIR"] = models.Root;
        _process = Process.Start(start)!;
        _process.ErrorDataReceived += static (_, _) => { };
        _process.BeginErrorReadLine();
    }

    public void Kill()
    {
        _process!.Kill();
        _process.WaitForExit();
    }

    public ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            Kill();
            _process.Dispose();
        }

        return ValueTask.CompletedTask;
    }
}
