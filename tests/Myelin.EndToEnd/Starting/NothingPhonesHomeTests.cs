using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Starting;

/// <summary>The native library holds a telemetry client that is on unless it is switched off before the first call.</summary>
public sealed class NothingPhonesHomeTests
{
    [Fact]
    public async Task Server_RunsAModelWithAFreshHome_WritesNoDeviceIdAndOpensNoOutsideConnection()
    {
        var home = Directory.CreateTempSubdirectory("myelin-home-");
        try
        {
            await using var server = new ServerProcess(environment: new Dictionary<string, string>
            {
                ["HOME"] = home.FullName,
                ["XDG_CACHE_HOME"] = Path.Combine(home.FullName, ".cache"),
                ["ORT_DISABLE_TELEMETRY"] = "", // the server itself must switch it off
            });
            await server.StartAsync(TestContext.Current.CancellationToken);
            using var form = new MultipartFormDataContent { { new StringContent("faces"), "model" } };
            form.Add(new ByteArrayContent(await File.ReadAllBytesAsync(Path.Combine(Shared.Root, "samples", "sign.jpg"), TestContext.Current.CancellationToken)) { Headers = { ContentType = new("image/jpeg") } }, "image", "sign.jpg");
            using var response = await server.Http.PostAsync(new Uri("/v1/jobs?wait=30s", UriKind.Relative), form, TestContext.Current.CancellationToken);
            response.EnsureSuccessStatusCode();

            // The client looks names up before it dials: watch the sockets for longer than its first upload would take.
            for (var look = 0; look < 20; look++)
            {
                OutsidePeers(server.Id).ShouldBeEmpty();
                await Task.Delay(250, TestContext.Current.CancellationToken);
            }

            Directory.EnumerateFileSystemEntries(home.FullName, "*Microsoft*", SearchOption.AllDirectories)
                .Where(p => !p.Contains("/.dotnet/", StringComparison.Ordinal)).ShouldBeEmpty();
        }
        finally
        {
            home.Delete(recursive: true);
        }
    }

    /// <summary>Remote ends of the process's own sockets that are not loopback: from /proc, so that nothing has to be installed.</summary>
    private static List<string> OutsidePeers(int process)
    {
        var sockets = Directory.EnumerateFiles($"/proc/{process}/fd").Select(f => new FileInfo(f).LinkTarget)
            .Where(t => t?.StartsWith("socket:[", StringComparison.Ordinal) == true).Select(t => t![8..^1]).ToHashSet();
        return [.. new[] { "tcp", "tcp6", "udp", "udp6" }
            .SelectMany(table => File.ReadLines($"/proc/{process}/net/{table}").Skip(1))
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Where(columns => sockets.Contains(columns[9]))
            .Select(columns => columns[2])
            .Where(remote => !remote.StartsWith("0100007F", StringComparison.Ordinal) // 127.0.0.1
                && !remote.StartsWith("0000000000000000FFFF00000100007F", StringComparison.Ordinal) // the same, mapped
                && !remote.Split(':')[0].All(c => c == '0'))]; // listening
    }
}
