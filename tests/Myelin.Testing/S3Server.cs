using System.Diagnostics;
using System.Net.Sockets;
using Xunit;

namespace Myelin.Testing;

/// <summary>
/// A real S3 server on a free port of loopback, over a temporary folder: the small one of <c>../shared/s3</c>, or moto,
/// which knows the whole API. Ends with the process that started it, however that ends.
/// </summary>
public sealed class S3Server : IAsyncDisposable
{
    public const string AccessKey = "myelin";
    public const string SecretKey = "myelin-secret";
    public const string Bucket = "myelin-blobs";

    private readonly Process _shell;
    private readonly TemporaryFolder _folder;

    private S3Server(string command, int port, TemporaryFolder folder)
    {
        (Port, _folder) = (port, folder);
        _shell = Process.Start(new ProcessStartInfo("bash", ["-c", $"{command} >/dev/null 2>&1 & read -r _; kill -9 $!"]) { RedirectStandardInput = true })!;
    }

    public int Port { get; }

    public string Endpoint => $"http://127.0.0.1:{Port}";

    /// <summary>The small server, with the bucket made; skips the test where it is not there.</summary>
    public static Task<S3Server> StartAsync()
    {
        var program = Shared.Require("s3", "s3s-fs");
        var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.Combine(Bucket));
        var port = ServerProcess.FreePort();
        return AnswersAsync(new S3Server($"'{program}' --host 127.0.0.1 --port {port} --access-key {AccessKey} --secret-key {SecretKey} '{folder.Path}'", port, folder));
    }

    /// <summary>moto, with the bucket made; skips the test where it is not installed.</summary>
    public static async Task<S3Server> StartMotoAsync()
    {
        using (var probe = Process.Start(new ProcessStartInfo("bash", ["-c", "command -v moto_server >/dev/null && moto_server --help >/dev/null 2>&1"]))!)
        {
            await probe.WaitForExitAsync();
            Assert.SkipUnless(probe.ExitCode == 0, "needs moto_server, which is not here (pip install 'moto[server]')");
        }

        var port = ServerProcess.FreePort();
        var server = await AnswersAsync(new S3Server($"moto_server -H 127.0.0.1 -p {port}", port, new TemporaryFolder()));
        using var http = new HttpClient();
        (await http.PutAsync($"{server.Endpoint}/{Bucket}", null)).EnsureSuccessStatusCode();
        return server;
    }

    public async ValueTask DisposeAsync()
    {
        _shell.StandardInput.Close();
        await _shell.WaitForExitAsync();
        _shell.Dispose();
        _folder.Dispose();
    }

    private static async Task<S3Server> AnswersAsync(S3Server server)
    {
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                using var client = new TcpClient();
                await client.ConnectAsync("127.0.0.1", server.Port);
                return server;
            }
            catch (SocketException) when (attempt < 600)
            {
                await Task.Delay(50);
            }
        }
    }
}
