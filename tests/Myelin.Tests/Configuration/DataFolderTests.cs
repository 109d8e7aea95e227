using System.Runtime.Versioning;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Configuration;
using Myelin.Jobs.Webhooks;
using Myelin.Testing;
using Myelin.Tests.Gateway;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Configuration;

/// <summary>Modes of files, after each way in which a data folder comes to be.</summary>
[UnsupportedOSPlatform("windows")]
public sealed class DataFolderTests
{
    private const UnixFileMode Others = ~(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);

    [Fact]
    public async Task Files_OfAServer_AreTheOwnersAlone()
    {
        await using var server = await StartAsync(connection: "");
        await WorkAsync(server);

        AssertPrivate(server.Get<MyelinOptions>().Data, "myelin.db", "myelin.db-wal", "myelin.db-shm", "lock", "webhook-secret", "artifacts");
    }

    [Fact]
    public async Task Files_OfAServerOnPostgres_AreTheOwnersAlone()
    {
        var database = await PostgresDatabase.CreateAsync(TestContext.Current.CancellationToken);
        await using var server = await StartAsync(database.Connection);
        await WorkAsync(server);

        AssertPrivate(server.Get<MyelinOptions>().Data, "webhook-secret", "artifacts");
    }

    [Fact]
    public async Task Files_OfKeysCreateBeforeTheFirstStart_AreTheOwnersAlone()
    {
        using var folder = new TemporaryFolder();
        var options = new MyelinOptions { Data = folder.Combine("data") };
        (await new KeysCommand(TextWriter.Null, TextWriter.Null, TimeProvider.System).ExecuteAsync(["create", "--name", "first"], options)).ShouldBe(0);

        AssertPrivate(options.Data, "myelin.db");
    }

    /// <summary>As an older version left them, in a folder that may be anybody's.</summary>
    [Fact]
    public async Task Files_ThatOthersCouldRead_AreTightenedAndTheFolderIsWarnedAbout()
    {
        using var folder = new TemporaryFolder();
        var options = new MyelinOptions { Data = folder.Combine("data") };
        Directory.CreateDirectory(options.Data);
        File.SetUnixFileMode(options.Data, (UnixFileMode)0b111_101_101);
        var (code, error) = (0, new StringWriter());
        await CreateAsync();
        code.ShouldBe(0);
        error.ToString().ShouldContain("chmod 700");
        var database = Path.Combine(options.Data, "myelin.db");
        File.SetUnixFileMode(database, (UnixFileMode)0b110_100_100);
        await CreateAsync();

        (File.GetUnixFileMode(database) & Others).ShouldBe((UnixFileMode)0);
        File.SetUnixFileMode(options.Data, (UnixFileMode)0b111_000_000);
        DataFolder.Warning(options.Data).ShouldBeNull();
        WebhookSecret.LoadOrCreate(options.Data);
        File.SetUnixFileMode(Path.Combine(options.Data, "webhook-secret"), (UnixFileMode)0b110_100_100);
        WebhookSecret.LoadOrCreate(options.Data);
        AssertPrivate(options.Data, "myelin.db", "webhook-secret");

        async Task CreateAsync() => code = await new KeysCommand(TextWriter.Null, error, TimeProvider.System).ExecuteAsync(["create", "--name", "k"], options);
    }

    private static Task<RunningServer> StartAsync(string connection) => RunningServer.StartAsync(
        o => o with
        {
            Storage = o.Storage with { Connection = connection },
            Jobs = o.Jobs with { SmallInputBytes = 0 },
            Webhooks = o.Webhooks with { AllowPrivate = true, RetryDelay = TimeSpan.FromHours(1) },
        },
        InstantTask.Install);

    /// <summary>A job with a blob, and a callback that needs the server's secret.</summary>
    private static async Task WorkAsync(RunningServer server)
    {
        await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg(), $"\"callback\":{{\"url\":\"{server.Address}health/live\"}}"));
        var secret = Path.Combine(server.Get<MyelinOptions>().Data, "webhook-secret");
        await Wait.UntilAsync(() => Task.FromResult(File.Exists(secret)), "the callback was tried");
    }

    private static void AssertPrivate(string data, params string[] expected)
    {
        (File.GetUnixFileMode(data) & Others).ShouldBe((UnixFileMode)0, data);
        expected.ShouldAllBe(name => Path.Exists(Path.Combine(data, name)));
        var inside = Directory.EnumerateFileSystemEntries(data).SelectMany(entry => Directory.Exists(entry)
            ? Directory.EnumerateFileSystemEntries(entry, "*", SearchOption.AllDirectories).Where(e => !e.EndsWith(".sock", StringComparison.Ordinal)).Append(entry)
            : [entry]);
        foreach (var entry in inside.Where(e => new FileInfo(e).LinkTarget is null))
        {
            (File.GetUnixFileMode(entry) & Others).ShouldBe((UnixFileMode)0, entry);
        }
    }
}
