using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using Myelin.Testing;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Conformance;

/// <summary>A sidecar as a process of its own, serving the conformance models over one address.</summary>
public sealed partial class SidecarProcess : IAsyncDisposable
{
    private readonly StringBuilder _log = new();
    private readonly Process _process;

    private SidecarProcess(string program, IEnumerable<string> arguments, string address)
    {
        Address = address;
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true };
        start.Environment["MYELIN_SIDECAR_LISTEN"] = address;
        start.Environment["DOTNET_TieredPGO"] = "0"; // starts a little faster
        _process = Process.Start(start)!;
        _process.OutputDataReceived += Note;
        _process.ErrorDataReceived += Note;
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public string Address { get; }

    public int Id => _process.Id;

    /// <summary>What it printed.</summary>
    public string Log
    {
        get
        {
            lock (_log)
            {
                return _log.ToString();
            }
        }
    }

    /// <summary>The .NET one, as the build put it beside the tests.</summary>
    public static SidecarProcess DotNet(string address) => new(Path.Combine(AppContext.BaseDirectory, "Myelin.TestSidecar"), [], address);

    /// <summary>The Python one; the test is skipped where there is no Python.</summary>
    public static SidecarProcess Python(string address)
    {
        var python = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(folder => Path.Combine(folder, "python3")).FirstOrDefault(File.Exists);
        Assert.SkipWhen(python is null, "needs python3, which is not here");
        return new SidecarProcess(python, [Path.Combine(Shared.Root, "sidecars", "python", "tests", "conformance_sidecar.py")], address);
    }

    public void Kill() => _process.Kill();

    /// <summary>Asks it to drain and end.</summary>
    public void Terminate() => Signal(15);

    /// <summary>Stops it where it is: it is there, and does nothing any more.</summary>
    public void Freeze() => Signal(19);

    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(2));
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    private void Signal(int signal) => _ = Kill(Id, signal);

    private void Note(object sender, DataReceivedEventArgs line)
    {
        lock (_log)
        {
            _log.AppendLine(line.Data);
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
