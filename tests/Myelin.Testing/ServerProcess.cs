using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Myelin.Testing;

/// <summary>
/// The real server as a child process with a data folder of its own. Kill it, start it again on the same folder, look
/// at its log. Output goes to memory, so that a failing test can show it.
/// </summary>
public sealed class ServerProcess : IAsyncDisposable
{
    private readonly StringBuilder _log = new();
    private readonly Dictionary<string, string> _environment;
    private readonly bool _ownsData;
    private Process? _process;
    private bool _launched;

    /// <param name="data">Data folder; null makes a temporary one that is deleted at the end.</param>
    /// <param name="environment">Settings, such as <c>MYELIN_JOBS_QUEUE_LIMIT</c>.</param>
    public ServerProcess(string? data = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        _ownsData = data is null;
        Data = data ?? Directory.CreateTempSubdirectory("myelin-").FullName;
        Address = new Uri($"http://127.0.0.1:{FreePort()}");
        Http = new HttpClient { BaseAddress = Address, Timeout = TimeSpan.FromMinutes(3) };
        _environment = new Dictionary<string, string>(environment ?? new Dictionary<string, string>())
        {
            ["MYELIN_URLS"] = Address.ToString().TrimEnd('/'),
            ["MYELIN_DATA"] = Data,
        };
    }

    public string Data { get; }

    public Uri Address { get; }

    public HttpClient Http { get; }

    /// <summary>A command that runs the server, such as <c>unshare -m</c>; the server's own command line is appended.</summary>
    public IReadOnlyList<string> Through { get; init; } = [];

    /// <summary>What the next start runs: this build's server, or another version's.</summary>
    public string Program { get; set; } = Executable;

    public int Id => _process!.Id;

    /// <summary>False before a start, after a kill, and once it ended by itself.</summary>
    public bool IsRunning => _launched && !_process!.HasExited;

    /// <summary>What the process printed so far, over all its lives.</summary>
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

    /// <summary>The server's program as the build put it beside this test's own project.</summary>
    public static string Executable
    {
        get
        {
            var configuration = AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}", StringComparison.Ordinal) ? "Release" : "Debug";
            return Path.Combine(Shared.Root, "src", "Myelin.Server", "bin", configuration, "net10.0", "myelin-server");
        }
    }

    /// <summary>Starts the process and waits until it is ready.</summary>
    /// <returns>How long that took.</returns>
    public async Task<TimeSpan> StartAsync(CancellationToken cancellationToken = default)
    {
        var clock = Stopwatch.StartNew();
        Launch();
        while (true)
        {
            if (_process!.HasExited)
            {
                throw new InvalidOperationException($"the server ended with {_process.ExitCode}:\n{Log}");
            }

            try
            {
                using var response = await Http.GetAsync(new Uri("/health/ready", UriKind.Relative), cancellationToken);
                if (response.StatusCode == HttpStatusCode.OK)
                {
                    return clock.Elapsed;
                }
            }
            catch (HttpRequestException) when (clock.Elapsed < TimeSpan.FromSeconds(60))
            {
                // Not listening yet.
            }

            await Task.Delay(20, cancellationToken);
        }
    }

    /// <summary>Starts the process without waiting: for starts that are expected to fail.</summary>
    public void Launch(params string[] arguments)
    {
        string[] command = [.. Through, Program, .. arguments];
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in _environment)
        {
            start.Environment[name] = value;
        }

        _process = Process.Start(start)!;
        _launched = true;
        _process.OutputDataReceived += (_, line) => Keep(line.Data);
        _process.ErrorDataReceived += (_, line) => Keep(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>SIGKILL: no handler runs, nothing is flushed.</summary>
    public async Task KillAsync()
    {
        _process!.Kill();
        await _process.WaitForExitAsync();
        _launched = false;
        _process.Dispose();
    }

    /// <summary>SIGTERM, as an orchestrator would; returns the exit status.</summary>
    public async Task<int> TerminateAsync(TimeSpan limit)
    {
        await SignalAsync("TERM");
        return await ExitAsync(limit);
    }

    /// <summary>Sends a signal, such as <c>INT</c>, and waits for nothing.</summary>
    public async Task SignalAsync(string signal)
    {
        using var kill = Process.Start("kill", ["-" + signal, Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
        await kill.WaitForExitAsync();
    }

    /// <summary>Waits for the end of the process.</summary>
    public async Task<int> ExitAsync(TimeSpan limit)
    {
        using var timeout = new CancellationTokenSource(limit);
        await _process!.WaitForExitAsync(timeout.Token);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        try
        {
            if (_process is { HasExited: false })
            {
                await KillAsync();
            }
        }
        catch (InvalidOperationException)
        {
            // Already killed and disposed by the test.
        }

        if (_ownsData)
        {
            Directory.Delete(Data, recursive: true);
        }
    }

    /// <summary>
    /// A TCP port of this machine that nobody listens on now, below those that the system gives to outgoing connections:
    /// a program that is killed finds its port free when it starts again.
    /// </summary>
    public static int FreePort() => FreePorts(1);

    /// <summary>The first of neighbouring free ports.</summary>
    internal static int FreePorts(int count)
    {
        while (true)
        {
            var first = Random.Shared.Next(12_000, 32_000);
            var listeners = new List<TcpListener>();
            try
            {
                for (var port = first; port < first + count; port++)
                {
                    var listener = new TcpListener(IPAddress.Loopback, port);
                    listeners.Add(listener);
                    listener.Start();
                }

                return first;
            }
            catch (SocketException)
            {
                // Taken; others.
            }
            finally
            {
                listeners.ForEach(listener => listener.Dispose());
            }
        }
    }

    private void Keep(string? line)
    {
        lock (_log)
        {
            _log.AppendLine(line);
        }
    }
}
