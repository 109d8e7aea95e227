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

    [Fact]
    public async Task Start_ToldToEndWhileTheDatabaseIsAway_EndsInOrder()
    {
        await using var server = new ServerProcess();
        server.Launch("--roles", "coordinator", "--storage-connection", "Host=127.0.0.1;Port=1;Username=nobody;Database=none", "--storage-start-timeout", "10m");
        await Wait.UntilAsync(() => server.Log.Contains("Without a broker", StringComparison.Ordinal), state: () => server.Log);
        await Task.Delay(TimeSpan.FromSeconds(3), TestContext.Current.CancellationToken); // nothing more is said until the database answers

        (await server.TerminateAsync(TimeSpan.FromSeconds(30))).ShouldBe(0, server.Log);
    }

    [Fact]
    public async Task Start_SeveralWrongSettings_AllReported()
    {
        await using var server = new ServerProcess(environment: new Dictionary<string, string> { ["MYELIN_JOBS_MAX_ATTEMPTS"] = "0" });
        server.Launch("--worker-leese", "5s");

        (await server.ExitAsync(TimeSpan.FromSeconds(20))).ShouldBe(2);

        server.Log.ShouldContain("MYELIN_JOBS_MAX_ATTEMPTS: 0 is outside 1..100");
        server.Log.ShouldContain("did you mean --worker-lease?");
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
