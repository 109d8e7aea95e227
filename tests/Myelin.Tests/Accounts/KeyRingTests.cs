using System.Net;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Storage;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Accounts;

public sealed class KeyRingTests
{
    private static readonly IPAddress s_address = IPAddress.Parse("192.0.2.1");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>PostgreSQL stops under a running server, comes back, and a key is revoked then.</summary>
    [Fact]
    public async Task KnownKey_DatabaseStopped_GoesOnAndARevocationCountsOnceItIsBack()
    {
        await using var postgres = await PostgresServer.StartAsync(Token);
        var database = await PostgresDatabase.CreateAsync(postgres, Token);
        using var models = new ModelFolders();
        models.AddIris();
        await using var server = await RunningServer.StartAsync(o => o with
        {
            RequireKeys = true,
            Models = models.Root,
            Storage = o.Storage with { Connection = database.Connection, Patience = TimeSpan.FromMinutes(10) },
            Telemetry = o.Telemetry with { MetricsKey = "0123456789abcdef" },
        });
        var (key, id) = await CreateAsync(server.Get<IKeyStore>());
        await Wait.UntilAsync(async () => await InferAsync(key) == HttpStatusCode.OK, "the model is loaded");
        await postgres.KillAsync();

        await Wait.UntilAsync(async () =>
        {
            (await InferAsync(key)).ShouldBe(HttpStatusCode.OK);
            (await GetAsync("/v1/models", key)).ShouldBe(HttpStatusCode.OK);
            return await StaleAsync() > 3;
        }, "keys are older than what is trusted");

        // The wait for the database is ten minutes: this is answered without it.
        (await GetAsync("/v1/models", NewKey())).ShouldBe(HttpStatusCode.ServiceUnavailable);

        await postgres.RestartAsync(Token);
        await server.Get<IKeyStore>().RevokeAsync(id, DateTimeOffset.UnixEpoch, Token);
        await Wait.UntilAsync(async () => await GetAsync("/v1/models", key) == HttpStatusCode.Unauthorized, "the revoked key is refused");
        (await GetAsync("/v1/models", (await CreateAsync(server.Get<IKeyStore>())).Key)).ShouldBe(HttpStatusCode.OK);

        Task<HttpStatusCode> InferAsync(string shown) => SendAsync(
            HttpMethod.Post, "/v2/models/iris/infer", shown, """{"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}""");

        Task<HttpStatusCode> GetAsync(string path, string shown) => SendAsync(HttpMethod.Get, path, shown, body: null);

        async Task<HttpStatusCode> SendAsync(HttpMethod method, string path, string shown, string? body)
        {
            using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
            request.Headers.Authorization = new("Bearer", shown);
            using var answer = await server.Http.SendAsync(request, Token);
            return answer.StatusCode;
        }

        async Task<double> StaleAsync()
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/metrics");
            request.Headers.Authorization = new("Bearer", "0123456789abcdef");
            var text = await (await server.Http.SendAsync(request, Token)).Content.ReadAsStringAsync(Token);
            return text.Split('\n').Where(l => l.StartsWith("myelin_accounts_stale_total ", StringComparison.Ordinal)).Sum(l => double.Parse(l.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture));
        }
    }

    [Fact]
    public async Task KnownKey_DatabaseAwayForLong_IsRefusedInTheEnd()
    {
        await using var fixture = new Fixture();
        var (key, _) = await CreateAsync(fixture.Store);
        (await fixture.CheckAsync(key)).ShouldBe(KeyVerdict.Valid);
        fixture.Store.Away = true;

        fixture.Time.Advance(KeyRing.StaleLimit - TimeSpan.FromSeconds(1));
        (await fixture.CheckAsync(key)).ShouldBe(KeyVerdict.Valid);
        (await fixture.CheckAsync(key[..^1] + (key[^1] == 'a' ? 'b' : 'a'))).ShouldBe(KeyVerdict.Unknown);
        fixture.Time.Advance(TimeSpan.FromSeconds(1));
        (await fixture.CheckAsync(key)).ShouldBe(KeyVerdict.Unread);

        fixture.Store.Away = false;
        await Wait.UntilAsync(async () => await fixture.CheckAsync(key) == KeyVerdict.Valid);
    }

    [Fact]
    public async Task Key_AskedForByManyAtOnce_IsReadOnce()
    {
        await using var fixture = new Fixture();
        var (key, _) = await CreateAsync(fixture.Store);
        fixture.Store.Hold();

        var checks = Enumerable.Range(0, 50).Select(_ => fixture.CheckAsync(key)).ToList();
        fixture.Store.Release();

        (await Task.WhenAll(checks)).ShouldAllBe(v => v == KeyVerdict.Valid);
        fixture.Store.Reads.ShouldBe(1);
    }

    [Fact]
    public async Task UnknownKeys_OfAnAddressThatFailedTooOften_CostOneReadOfAllAndLetKeysPass()
    {
        await using var fixture = new Fixture();
        var (key, _) = await CreateAsync(fixture.Store);
        for (var i = 0; i < FailedAttempts.Limit; i++)
        {
            (await fixture.CheckAsync(NewKey())).ShouldBe(KeyVerdict.Unknown);
            fixture.Failures.Note(s_address);
        }

        var before = fixture.Store.Reads;
        for (var i = 0; i < 200; i++)
        {
            (await fixture.CheckAsync(NewKey())).ShouldBe(KeyVerdict.Unknown);
        }

        (await fixture.CheckAsync(key)).ShouldBe(KeyVerdict.Valid, "never read by itself, and its neighbour guesses");
        (fixture.Store.Reads - before).ShouldBe(1);
    }

    [Fact]
    public async Task UnknownKey_AskedForAgain_IsNotReadAgain()
    {
        await using var fixture = new Fixture();
        var key = NewKey();
        (await fixture.CheckAsync(key)).ShouldBe(KeyVerdict.Unknown);
        (await fixture.CheckAsync(key)).ShouldBe(KeyVerdict.Unknown);
        fixture.Store.Reads.ShouldBe(1);
        fixture.Time.Advance(KeyRing.Freshness);
        (await fixture.CheckAsync(key)).ShouldBe(KeyVerdict.Unknown);
        fixture.Store.Reads.ShouldBe(2);
    }

    private static string NewKey()
    {
        var (id, secret) = ApiKeyText.Generate();
        return ApiKeyText.Format(id, secret);
    }

    private static async Task<(string Key, string Id)> CreateAsync(IKeyStore store)
    {
        var (id, secret) = ApiKeyText.Generate();
        var hash = new byte[32];
        ApiKeyText.Hash(secret, hash);
        await store.AddAsync(
            new ApiKey { Id = id, Hash = hash, Tenant = "t", Name = "k", Scopes = Scopes.Infer, Created = DateTimeOffset.UnixEpoch, LastUsed = new DateTimeOffset(2100, 1, 1, 0, 0, 0, TimeSpan.Zero) },
            Token);
        return (ApiKeyText.Format(id, secret), id);
    }

    private sealed class Fixture : IAsyncDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private readonly SqliteSessionKeys _keys;
        private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().AddSingleton<AccountsInstruments>().BuildServiceProvider();
        private readonly KeyRing _ring;

        public Fixture()
        {
            _keys = new SqliteSessionKeys(_folder.Combine("keys.db"), Time);
            Store = new WatchedKeyStore(_keys);
            Failures = new FailedAttempts(Time);
            _ring = new KeyRing(Store, Failures, _services.GetRequiredService<AccountsInstruments>(), Time, NullLogger<KeyRing>.Instance);
        }

        public ManualTime Time { get; } = new();

        public WatchedKeyStore Store { get; }

        public FailedAttempts Failures { get; }

        public async Task<KeyVerdict> CheckAsync(string key) => (await _ring.CheckAsync(key, s_address, Token)).Verdict;

        public async ValueTask DisposeAsync()
        {
            await _keys.DisposeAsync();
            await _services.DisposeAsync();
            _folder.Dispose();
        }
    }

    /// <summary>A real store, its reads counted, held up, or failing as those of a database that is away.</summary>
    private sealed class WatchedKeyStore(IKeyStore keys) : IKeyStore
    {
        private readonly Lock _gate = new(); // a session is for one thread; it answers at once
        private TaskCompletionSource? _held;
        private int _reads;

        public bool Away { get; set; }

        public int Reads => _reads;

        public void Hold() => _held = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Release() => _held!.SetResult();

        public ValueTask AddAsync(ApiKey key, CancellationToken cancellationToken) => keys.AddAsync(key, cancellationToken);

        public ValueTask<ApiKey?> FindAsync(string id, CancellationToken cancellationToken) => ReadAsync(() => keys.FindAsync(id, cancellationToken));

        public ValueTask<IReadOnlyList<ApiKey>> ListAsync(CancellationToken cancellationToken) => ReadAsync(() => keys.ListAsync(cancellationToken));

        public ValueTask<bool> RevokeAsync(string id, DateTimeOffset at, CancellationToken cancellationToken) => keys.RevokeAsync(id, at, cancellationToken);

        public ValueTask TouchAsync(string id, DateTimeOffset at, CancellationToken cancellationToken) => default;

        public ValueTask<bool> AnyAsync(CancellationToken cancellationToken) => keys.AnyAsync(cancellationToken);

        private async ValueTask<T> ReadAsync<T>(Func<ValueTask<T>> read)
        {
            Interlocked.Increment(ref _reads);
            await (_held?.Task ?? Task.CompletedTask);
            if (Away)
            {
                throw new StorageUnavailableException("away");
            }

            lock (_gate)
            {
                return read().AsTask().GetAwaiter().GetResult();
            }
        }
    }
}
