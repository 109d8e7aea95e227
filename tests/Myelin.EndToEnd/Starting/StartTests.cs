using System.Net;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Starting;

public sealed class StartTests
{
    [Fact]
    public async Task Start_Again_BuiltInModelsBecomeReadyAndShutdownIsClean()
    {
        await using var server = new ServerProcess();
        await server.StartAsync(TestContext.Current.CancellationToken);

        var models = await server.Http.GetStringAsync(new Uri("/v1/models", UriKind.Relative), TestContext.Current.CancellationToken);
        models.ShouldContain("\"faces\"");
        models.ShouldContain("\"text-reader\"");
        (await server.TerminateAsync(TimeSpan.FromSeconds(30))).ShouldBe(0, server.Log);

        await server.StartAsync(TestContext.Current.CancellationToken);
        (await server.TerminateAsync(TimeSpan.FromSeconds(30))).ShouldBe(0, server.Log);
    }

    [Fact]
    public async Task Start_OtherAddressWithoutKeys_RefusesAndTellsTheCure()
    {
        await using var server = new ServerProcess();
        server.Launch("--urls", "http://0.0.0.0:0");

        (await server.ExitAsync(TimeSpan.FromSeconds(20))).ShouldNotBe(0);

        server.Log.ShouldContain("keys create");
        server.Log.ShouldContain("--insecure");
    }

    [Theory]
    [InlineData("coordinator")]
    [InlineData("gateway")]
    public async Task Start_ToldToEndWhileTheDatabaseIsAway_EndsInOrder(string role)
    {
        await using var server = new ServerProcess();
        server.Launch("--roles", role, "--urls", "http://0.0.0.0:0", "--storage-connection", "Host=127.0.0.1;Port=1;Username=nobody;Database=none", "--storage-start-timeout", "10m");
        await Task.Delay(TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken); // nothing that could be waited for is said until the database answers
        server.IsRunning.ShouldBeTrue(server.Log);

        (await server.TerminateAsync(TimeSpan.FromSeconds(30))).ShouldBe(0, server.Log);
        server.Log.ShouldNotContain("   at ");
    }

    [Fact]
    public async Task Start_SeveralWrongSettings_AllReported()
    {
        await using var server = new ServerProcess(environment: new Dictionary<string, string> { ["MYELIN_JOBS_MAX_ATTEMPTS"] = "0", ["MYELIN_WEBHOOKS_SECRET"] = "short" });
        server.Launch("--worker-leese", "5s");

        (await server.ExitAsync(TimeSpan.FromSeconds(20))).ShouldBe(2);

        server.Log.ShouldContain("MYELIN_JOBS_MAX_ATTEMPTS: 0 is outside 1..100");
        server.Log.ShouldContain("did you mean --worker-lease?");
        server.Log.ShouldContain("webhooks.secret: has 5 characters");
    }

    [Fact]
    public async Task Start_TextsThatNothingCanBeMadeOf_AllReportedWithoutAStack()
    {
        await using var server = new ServerProcess();
        server.Launch(
            "--jobs-weights", "abc", "--urls", "nonsense", "--telemetry-otlp-endpoint", "::bad", "--worker-attempt-timeout", "0s", "--storage-connection", "Nonsense=swordfish",
            "--artifacts-s3-endpoint", "minio", "--bus-kafka-bootstrap", "kafka:99999", "--runtime-library", "/nowhere/libonnxruntime.so", "--allowed-hosts", "https://x", "--roles", "gatway");

        (await server.ExitAsync(TimeSpan.FromSeconds(20))).ShouldBe(2, server.Log);

        foreach (var place in (string[])["jobs.weights: 'abc'", "--urls: 'nonsense'", "--telemetry-otlp-endpoint: '::bad'", "--worker-attempt-timeout: 0s", "storage.connection: ", "--artifacts-s3-endpoint: 'minio'",
            "--bus-kafka-bootstrap: 'kafka:99999'", "--runtime-library: ", "--allowed-hosts: 'https://x'", "roles: 'gatway'"])
        {
            server.Log.ShouldContain(place);
        }

        server.Log.ShouldNotContain("   at ");
        server.Log.ShouldNotContain("swordfish");
    }

    [Fact]
    public async Task Start_AddressThatIsNotOfThisMachine_SaysSo()
    {
        await using var server = new ServerProcess();
        server.Launch("--insecure", "--urls", "http://192.0.2.1:8099");

        (await server.ExitAsync(TimeSpan.FromSeconds(20))).ShouldBe(1, server.Log);

        server.Log.ShouldContain("http://192.0.2.1:8099: ");
    }

    [Fact]
    public async Task Start_SecondProcessOnTheSameData_Refuses()
    {
        await using var first = new ServerProcess();
        await first.StartAsync(TestContext.Current.CancellationToken);
        await using var second = new ServerProcess(first.Data);
        second.Launch();

        (await second.ExitAsync(TimeSpan.FromSeconds(20))).ShouldNotBe(0);

        second.Log.ShouldContain("used by another process");
        (await first.Http.GetAsync(new Uri("/health/ready", UriKind.Relative), TestContext.Current.CancellationToken)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }
}
