using System.Net;
using System.Net.Http.Json;
using Microsoft.Extensions.DependencyInjection;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Storage.Sqlite;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Gateway;
using Myelin.Tests.Inference.Sidecars;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Accounts;

public sealed class KeyTests
{
    [Theory]
    [InlineData("http://127.0.0.1:8080", false, false, false)]
    [InlineData("http://localhost:8080", false, false, false)]
    [InlineData("http://[::1]:8080", false, false, false)]
    [InlineData("http://127.0.0.1:8080", true, false, true)]
    [InlineData("http://0.0.0.0:8080", false, false, true)]
    [InlineData("http://*:8080", false, false, true)]
    [InlineData("http://192.168.1.5:8080", false, false, true)]
    [InlineData("http://127.0.0.1:1;http://10.0.0.1:2", false, false, true)]
    [InlineData("http://0.0.0.0:8080", false, true, false)]
    public void KeysRequired_ByAddressAndOptions(string urls, bool requireKeys, bool insecure, bool expected) =>
        ListenCheck.KeysRequired(new MyelinOptions { Urls = urls, RequireKeys = requireKeys, Insecure = insecure }).ShouldBe(expected);

    [Fact]
    public async Task Start_OnOpenAddressWithoutKeys_IsRefusedWithTheCures()
    {
        await using var server = await RunningServer.StartAsync(worker: false);
        var options = new MyelinOptions { Urls = "http://0.0.0.0:8080" };

        var refusal = await ListenCheck.RefusalAsync(options, server.Get<IKeyStore>(), TestContext.Current.CancellationToken);

        refusal.ShouldNotBeNull().ShouldContain("keys create");
        refusal.ShouldContain("--insecure");
        await CreateAsync(server, "first", "admin");
        (await ListenCheck.RefusalAsync(options, server.Get<IKeyStore>(), TestContext.Current.CancellationToken)).ShouldBeNull();
    }

    [Theory]
    [InlineData(null, "GET", "/v1/jobs", 401)]
    [InlineData(null, "GET", "/metrics", 401)]
    [InlineData(null, "GET", "/health/ready", 200)]
    [InlineData(null, "GET", "/openapi/v1.json", 200)]
    [InlineData("infer", "GET", "/v1/jobs", 200)]
    [InlineData("infer", "GET", "/v1/models", 200)]
    [InlineData("infer", "POST", "/v1/catalogue/none/install", 403)]
    [InlineData("manage", "GET", "/v1/jobs", 403)]
    [InlineData("manage", "GET", "/v1/models", 200)]
    [InlineData("manage", "POST", "/v1/catalogue/none/install", 404)]
    [InlineData("manage", "GET", "/metrics", 200)]
    [InlineData("metrics", "GET", "/metrics", 200)]
    [InlineData("metrics", "GET", "/v1/jobs", 403)]
    [InlineData("metrics", "GET", "/v1/models", 403)]
    [InlineData("admin", "GET", "/v1/jobs", 200)]
    [InlineData("admin", "POST", "/v1/catalogue/none/install", 404)]
    public async Task Scope_OfEachKey_OpensItsDoorsOnly(string? scopes, string method, string path, int expected)
    {
        await using var server = await RunningServer.StartAsync(o => o with { RequireKeys = true }, worker: false);
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (scopes is not null)
        {
            request.Headers.Authorization = new("Bearer", await CreateAsync(server, "k", scopes));
        }

        ((int)(await server.Http.SendAsync(request)).StatusCode).ShouldBe(expected);
    }

    [Fact]
    public async Task MetricsKey_OfTheSettings_OpensMetricsWithoutTheDatabase()
    {
        const string key = "0123456789abcdef-for-prometheus";
        await using var server = await RunningServer.StartAsync(
            o => o with { RequireKeys = true, Telemetry = o.Telemetry with { MetricsKey = key } }, s => s.AddSingleton<IKeyStore, AbsentKeyStore>(), worker: false);

        (await StatusAsync("/metrics", key)).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync("/metrics", key[..^1])).ShouldBe(HttpStatusCode.Unauthorized);
        (await StatusAsync("/v1/jobs", key)).ShouldBe(HttpStatusCode.Forbidden);
        (await StatusAsync("/metrics", ApiKeyText.Format("oy5tndo7s6e7", new string('a', 52)))).ShouldBe(HttpStatusCode.ServiceUnavailable);

        async Task<HttpStatusCode> StatusAsync(string path, string shown)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            request.Headers.Authorization = new("Bearer", shown);
            return (await server.Http.SendAsync(request)).StatusCode;
        }
    }

    [Fact]
    public async Task Job_OfAnotherTenant_DoesNotExist()
    {
        await using var server = await RunningServer.StartAsync(o => o with { RequireKeys = true }, worker: false);
        var (ours, theirs) = (await CreateAsync(server, "a", "infer", "ours"), await CreateAsync(server, "b", "infer", "theirs"));
        var job = await (await SendAsync(HttpMethod.Post, "/v1/jobs", ours, Http.Faces(Pictures.Jpeg()))).ReadJobAsync();

        foreach (var path in (string[])["", "/result", "/events", "/preview", "/artifacts/input-image"])
        {
            (await SendAsync(HttpMethod.Get, $"/v1/jobs/{job.Id}{path}", theirs)).StatusCode.ShouldBe(HttpStatusCode.NotFound, path);
        }

        (await SendAsync(HttpMethod.Delete, $"/v1/jobs/{job.Id}", theirs)).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await (await SendAsync(HttpMethod.Get, "/v1/jobs", theirs)).Content.ReadFromJsonAsync(JsonContext.Default.PageJob))!.Data.ShouldBeEmpty();
        (await SendAsync(HttpMethod.Get, $"/v1/jobs/{job.Id}/artifacts/input-image", ours)).StatusCode.ShouldBe(HttpStatusCode.OK);

        async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, string key, HttpContent? body = null)
        {
            using var request = new HttpRequestMessage(method, path) { Content = body };
            request.Headers.Add("X-API-Key", key);
            return await server.Http.SendAsync(request);
        }
    }

    [Theory]
    [InlineData("infer", HttpStatusCode.Forbidden)]
    [InlineData("infer,priority", HttpStatusCode.Accepted)]
    [InlineData("admin", HttpStatusCode.Accepted)]
    [InlineData(null, HttpStatusCode.Accepted)]
    public async Task PriorityHigh_NeedsItsScopeWhereKeysAreAskedFor(string? scopes, HttpStatusCode expected)
    {
        await using var server = await RunningServer.StartAsync(o => o with { RequireKeys = scopes is not null }, worker: false);
        var key = scopes is null ? null : await CreateAsync(server, "k", scopes);

        (await StatusAsync("high")).ShouldBe(expected);
        (await StatusAsync("normal")).ShouldBe(HttpStatusCode.Accepted);

        async Task<HttpStatusCode> StatusAsync(string priority)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/jobs") { Content = Http.Faces(Pictures.Jpeg(), $"\"priority\":\"{priority}\"") };
            request.Headers.Authorization = key is null ? null : new("Bearer", key);
            return (await server.Http.SendAsync(request)).StatusCode;
        }
    }

    /// <summary>Keys of before the scope: all of them could.</summary>
    [Fact]
    public async Task PriorityHigh_ByAKeyOfBefore_StaysAllowed()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Combine("myelin.db");
        var hash = new byte[32];
        await using (var keys = new SqliteSessionKeys(path, TimeProvider.System))
        {
            foreach (var scopes in (Scopes[])[Scopes.Infer, Scopes.Manage])
            {
                await keys.AddAsync(new ApiKey { Id = $"{scopes}", Hash = hash, Tenant = "t", Name = "k", Scopes = scopes, Created = DateTimeOffset.UnixEpoch }, default);
            }
        }

        using (var session = SqliteSession.Open(path, writer: true, _ => { }))
        {
            session.Execute("DELETE FROM migrations WHERE number = 11");
        }

        await using var reopened = new SqliteSessionKeys(path, TimeProvider.System);
        (await reopened.FindAsync("Infer", default))!.Scopes.ShouldBe(Scopes.Infer | Scopes.Priority);
        (await reopened.FindAsync("Manage", default))!.Scopes.ShouldBe(Scopes.Manage);
    }

    /// <summary>A sidecar prints what it is given, and other people's inputs with it.</summary>
    [Fact]
    public async Task Models_LogOfASidecar_IsForThoseWhoManage()
    {
        await using var models = new SidecarModels();
        models.Write(startup: "exit");
        await using var server = await RunningServer.StartAsync(o => o with
        {
            RequireKeys = true,
            Models = models.Root,
            Sidecars = o.Sidecars with { MaxCrashes = 1 },
        });
        var (infer, manage) = (await CreateAsync(server, "a", "infer"), await CreateAsync(server, "b", "manage"));
        await Wait.UntilAsync(async () => (await SendAsync(manage)).Contains("given up", StringComparison.Ordinal));

        (await SendAsync(manage)).ShouldContain("flux capacitor");
        var seen = await SendAsync(infer);
        seen.ShouldContain("exit code 3");
        seen.ShouldNotContain("flux capacitor");
        using var refused = new HttpRequestMessage(HttpMethod.Post, "/v1/jobs") { Content = Http.Json("""{"model":"many"}""") };
        refused.Headers.Add("X-API-Key", infer);
        (await (await server.Http.SendAsync(refused)).ReadProblemAsync()).Detail.ShouldNotBeNull().ShouldNotContain("flux capacitor");

        async Task<string> SendAsync(string key)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/models/many");
            request.Headers.Add("X-API-Key", key);
            return await (await server.Http.SendAsync(request)).Content.ReadAsStringAsync();
        }
    }

    [Fact]
    public async Task Key_WrongRevokedOrInTheAddress_IsRefused()
    {
        await using var server = await RunningServer.StartAsync(o => o with { RequireKeys = true }, worker: false);
        var key = await CreateAsync(server, "k", "infer");
        var other = key[..^1] + (key[^1] == 'a' ? 'b' : 'a');

        (await StatusAsync(key)).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync(other)).ShouldBe(HttpStatusCode.Unauthorized);
        (await StatusAsync("mk_short")).ShouldBe(HttpStatusCode.Unauthorized);
        (await server.Http.GetAsync($"/v1/jobs?key={key}")).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        (await server.Get<IKeyStore>().RevokeAsync(Parts(key).Id, DateTimeOffset.UnixEpoch, default)).ShouldBeTrue();
        using var patience = new CancellationTokenSource(KeyRing.Freshness + TimeSpan.FromSeconds(20));
        while (await StatusAsync(key) == HttpStatusCode.OK)
        {
            await Task.Delay(200, patience.Token);
        }

        async Task<HttpStatusCode> StatusAsync(string text)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/jobs");
            request.Headers.Add("X-API-Key", text);
            return (await server.Http.SendAsync(request)).StatusCode;
        }
    }

    [Fact]
    public async Task Key_GuessedTooOften_Is429AndTheRightOneStillPasses()
    {
        await using var server = await RunningServer.StartAsync(o => o with { RequireKeys = true }, worker: false);
        var key = await CreateAsync(server, "k", "infer");
        HttpResponseMessage answer = null!;
        for (var i = 0; i <= FailedAttempts.Limit; i++)
        {
            answer = await SendAsync(ApiKeyText.Format(new string('a', 12), new string('b', 52)));
        }

        (await answer.ReadProblemAsync()).Type.ShouldBe(ProblemTypes.RateLimited);
        answer.Headers.RetryAfter.ShouldNotBeNull();
        (await SendAsync(key)).StatusCode.ShouldBe(HttpStatusCode.OK);

        async Task<HttpResponseMessage> SendAsync(string text)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/jobs");
            request.Headers.Add("X-API-Key", text);
            return await server.Http.SendAsync(request);
        }
    }

    [Fact]
    public async Task KeysCommand_CreateListRevoke_KeepsNoSecret()
    {
        using var folder = new TemporaryFolder();
        var options = new MyelinOptions { Data = folder.Path };
        var (code, key, _) = await RunAsync(options, "create", "--name", "ci", "--tenant", "team", "--scopes", "infer,manage");

        code.ShouldBe(0);
        var (id, secret) = Parts(key.Trim());
        var (_, list, _) = await RunAsync(options, "list");
        list.ShouldContain(id);
        list.ShouldContain("infer,manage");
        list.ShouldNotContain(secret);
        foreach (var file in Directory.EnumerateFiles(folder.Path))
        {
            System.Text.Encoding.Latin1.GetString(await File.ReadAllBytesAsync(file)).ShouldNotContain(secret);
        }

        (await RunAsync(options, "revoke", key.Trim())).Code.ShouldBe(0);
        (await RunAsync(options, "list")).Output.ShouldContain("revoked");
        (await RunAsync(options, "revoke", "nobody")).Code.ShouldBe(1);
        (await RunAsync(options, "create", "--name", "x", "--scopes", "root")).Error.ShouldContain("infer, manage, metrics, admin");
        (await RunAsync(options, "make")).Code.ShouldBe(2);
    }

    private static (string Id, string Secret) Parts(string key)
    {
        ApiKeyText.TryParse(key, out var id, out var secret).ShouldBeTrue();
        return (id.ToString(), secret.ToString());
    }

    private static async Task<(int Code, string Output, string Error)> RunAsync(MyelinOptions options, params string[] args)
    {
        var (output, error) = (new StringWriter(), new StringWriter());
        var code = await new KeysCommand(output, error, TimeProvider.System).ExecuteAsync(args, options);
        return (code, output.ToString(), error.ToString());
    }

    /// <summary>As an operator does it: beside the running server, on its data folder.</summary>
    internal static async Task<string> CreateAsync(RunningServer server, string name, string scopes, string tenant = "local")
    {
        var (code, key, error) = await RunAsync(server.Get<MyelinOptions>(), "create", "--name", name, "--scopes", scopes, "--tenant", tenant);
        code.ShouldBe(0, error);
        return key.Trim();
    }

    /// <summary>As PostgreSQL's while that is away.</summary>
    private sealed class AbsentKeyStore : IKeyStore
    {
        public ValueTask AddAsync(ApiKey key, CancellationToken cancellationToken) => throw Away();

        public ValueTask<ApiKey?> FindAsync(string id, CancellationToken cancellationToken) => throw Away();

        public ValueTask<IReadOnlyList<ApiKey>> ListAsync(CancellationToken cancellationToken) => throw Away();

        public ValueTask<bool> RevokeAsync(string id, DateTimeOffset at, CancellationToken cancellationToken) => throw Away();

        public ValueTask TouchAsync(string id, DateTimeOffset at, CancellationToken cancellationToken) => throw Away();

        public ValueTask<bool> AnyAsync(CancellationToken cancellationToken) => throw Away();

        private static StorageUnavailableException Away() => new("away");
    }
}
