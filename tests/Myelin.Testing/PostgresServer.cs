using System.Diagnostics;
using System.Globalization;
using System.Text;
using Npgsql;
using Xunit;

namespace Myelin.Testing;

/// <summary>
/// A real PostgreSQL from the system's package, with a data folder, a port and a password of its own, durable as it
/// comes. Ends with the process that started it, however that ends. Tests share <see cref="SharedAsync"/>, a database
/// each; whoever wants to kill a server starts one.
/// </summary>
public sealed class PostgresServer : IAsyncDisposable
{
    public const string Password = "swordfish";

    private const string User = "myelin";

    private static readonly Lazy<Task<PostgresServer>> s_shared = new(() => StartAsync(CancellationToken.None));

    private readonly string _folder;
    private readonly string _programs;
    private readonly int _port;
    private readonly StringBuilder _log = new();
    private Process? _process;
    private int _databases;

    private PostgresServer(string programs)
    {
        _programs = programs;
        _port = ServerProcess.FreePort();
        _folder = Directory.CreateTempSubdirectory("myelin-postgres-").FullName;
    }

    public static bool IsInstalled => FindPrograms() is not null;

    public int Port => _port;

    /// <summary>The one of this test run. Skips the test where PostgreSQL is not installed.</summary>
    public static Task<PostgresServer> SharedAsync()
    {
        Require();
        return s_shared.Value;
    }

    /// <summary>One of the caller's own.</summary>
    public static async Task<PostgresServer> StartAsync(CancellationToken cancellationToken)
    {
        var server = new PostgresServer(Require());
        await server.InitializeAsync(cancellationToken);
        await server.RestartAsync(cancellationToken);
        return server;
    }

    /// <summary>Creates an empty database; returns its connection string.</summary>
    public async Task<string> CreateDatabaseAsync(CancellationToken cancellationToken)
    {
        var name = $"test_{Interlocked.Increment(ref _databases)}";
        await using var source = NpgsqlDataSource.Create(Connection("postgres"));
        await using var command = source.CreateCommand($"CREATE DATABASE {name}");
        await command.ExecuteNonQueryAsync(cancellationToken);
        return Connection(name);
    }

    /// <summary>Starts the server that was killed, or for the first time; returns once it takes connections.</summary>
    public async Task RestartAsync(CancellationToken cancellationToken)
    {
        Launch();
        var clock = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                await using var connection = new NpgsqlConnection(Connection("postgres") + ";Pooling=false;Timeout=2");
                await connection.OpenAsync(cancellationToken);
                return;
            }
            catch (NpgsqlException) when (clock.Elapsed < TimeSpan.FromSeconds(60) && !_process!.HasExited)
            {
                await Task.Delay(20, cancellationToken);
            }
            catch (NpgsqlException) when (clock.Elapsed < TimeSpan.FromSeconds(60))
            {
                // The one before may not have let go of its memory yet.
                await Task.Delay(200, cancellationToken);
                Launch();
            }
        }
    }

    /// <summary>SIGKILL to every process of the server: nothing is written out, no connection is closed politely.</summary>
    public async Task KillAsync()
    {
        var postmaster = int.Parse(File.ReadLines(Path.Combine(_folder, "data", "postmaster.pid")).First(), CultureInfo.InvariantCulture);
        var children = (await File.ReadAllTextAsync($"/proc/{postmaster}/task/{postmaster}/children")).Split(' ', StringSplitOptions.RemoveEmptyEntries);
        await RunAsync("kill", ["-KILL", postmaster.ToString(CultureInfo.InvariantCulture), .. children], allowFailure: true);
        await _process!.WaitForExitAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false } process)
        {
            process.StandardInput.Close();
            await process.WaitForExitAsync();
        }

        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    private static string Require()
    {
        var programs = FindPrograms();
        Assert.SkipWhen(programs is null, "PostgreSQL is not installed: apt-get install postgresql, or name its programs' folder in MYELIN_POSTGRES_BIN");
        return programs;
    }

    private static string? FindPrograms()
    {
        const string packages = "/usr/lib/postgresql";
        var candidates = Environment.GetEnvironmentVariable("MYELIN_POSTGRES_BIN") is { Length: > 0 } given ? [given]
            : Directory.Exists(packages) ? Directory.EnumerateDirectories(packages).Order().Reverse().Select(d => Path.Combine(d, "bin"))
            : [];
        return candidates.FirstOrDefault(d => File.Exists(Path.Combine(d, "initdb")));
    }

    private string Connection(string database) => $"Host=127.0.0.1;Port={_port};Username={User};Password={Password};Database={database}";

    private async Task InitializeAsync(CancellationToken cancellationToken)
    {
        var password = Path.Combine(_folder, "password");
        await File.WriteAllTextAsync(password, Password, cancellationToken);
        if (Environment.UserName == "root")
        {
            await RunAsync("chown", ["-R", "postgres:postgres", _folder]);
        }

        var (program, arguments) = AsPostgres(
            Path.Combine(_programs, "initdb"),
            ["-D", Path.Combine(_folder, "data"), "-U", User, "--pwfile", password, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync"]);
        await RunAsync(program, arguments);
    }

    /// <summary>A shell between this process and the server: when this one is gone, its end of the pipe is, and the server stops.</summary>
    private void Launch()
    {
        var settings = $"-p {_port} -k {_folder} -c listen_addresses=127.0.0.1 -c max_connections=200 -c shared_buffers=64MB";
        var script = $"""
            '{_programs}/postgres' -D '{_folder}/data' {settings} & server=$!
            (read -r _; touch '{_folder}/over'; kill -INT $server) <&3 & watcher=$!
            wait $server
            kill $watcher 2>/dev/null
            if [ -e '{_folder}/over' ]; then rm -rf '{_folder}'; fi
            """;
        var (program, arguments) = AsPostgres("sh", ["-c", "exec 3<&0 </dev/null\n" + script]);
        _process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardInput = true, RedirectStandardError = true, WorkingDirectory = "/" })!;
        _process.ErrorDataReceived += (_, line) => Keep(line.Data);
        _process.BeginErrorReadLine();
    }

    /// <summary>PostgreSQL refuses to run as root.</summary>
    private static (string Program, string[] Arguments) AsPostgres(string program, string[] arguments) => Environment.UserName == "root"
        ? ("setpriv", ["--reuid", "postgres", "--regid", "postgres", "--clear-groups", program, .. arguments])
        : (program, arguments);

    private static async Task RunAsync(string program, string[] arguments, bool allowFailure = false)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true, WorkingDirectory = "/" })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        if (process.ExitCode != 0 && !allowFailure)
        {
            throw new InvalidOperationException($"{program} ended with {process.ExitCode}: {errors}{await output}");
        }
    }

    private void Keep(string? line)
    {
        lock (_log)
        {
            _log.AppendLine(line);
        }
    }

    /// <summary>What the server printed.</summary>
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
}
