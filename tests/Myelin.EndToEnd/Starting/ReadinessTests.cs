using System.Net;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Starting;

/// <summary><c>/health/ready</c> says what a balancer must know.</summary>
public sealed class ReadinessTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Ready_PostgresStoppedAndStartedAgain_IsNotMeanwhile()
    {
        await using var postgres = await PostgresServer.StartAsync(Token);
        await using var server = new ServerProcess(environment: new Dictionary<string, string>
        {
            ["MYELIN_STORAGE_CONNECTION"] = await postgres.CreateDatabaseAsync(Token),
            ["MYELIN_STORAGE_PATIENCE"] = "2s",
        });
        await server.StartAsync(Token);

        await postgres.KillAsync();
        await UntilAsync(server, HttpStatusCode.ServiceUnavailable, "storage: PostgreSQL has not answered for");
        await postgres.RestartAsync(Token);

        await UntilAsync(server, HttpStatusCode.OK, "ready");
        server.IsRunning.ShouldBeTrue(server.Log);
    }

    [Fact]
    public async Task Ready_BucketAwayAndBack_IsNotMeanwhile()
    {
        var s3 = await S3Server.StartAsync();
        await using var server = new ServerProcess(environment: new Dictionary<string, string>
        {
            ["MYELIN_ARTIFACTS_S3_BUCKET"] = S3Server.Bucket,
            ["MYELIN_ARTIFACTS_S3_ENDPOINT"] = s3.Endpoint,
            ["MYELIN_ARTIFACTS_S3_ACCESS_KEY"] = S3Server.AccessKey,
            ["MYELIN_ARTIFACTS_S3_SECRET_KEY"] = S3Server.SecretKey,
        });
        await server.StartAsync(Token);

        await s3.DisposeAsync();

        await UntilAsync(server, HttpStatusCode.ServiceUnavailable, "artifacts: the bucket does not answer");
    }

    [Fact]
    public async Task Ready_BrokerNeverThere_IsNot()
    {
        KafkaBroker.Require();
        await using var server = new ServerProcess(environment: new Dictionary<string, string> { ["MYELIN_BUS_KAFKA_BOOTSTRAP"] = "127.0.0.1:1" });
        server.Launch();

        await UntilAsync(server, HttpStatusCode.ServiceUnavailable, "bus: no Kafka broker has answered since the start");
        (await server.TerminateAsync(TimeSpan.FromMinutes(1))).ShouldBe(0, server.Log);
    }

    private static Task UntilAsync(ServerProcess server, HttpStatusCode status, string text)
    {
        var last = "";
        return Wait.UntilAsync(
            async () =>
            {
                try
                {
                    using var response = await server.Http.GetAsync(new Uri("/health/ready", UriKind.Relative), Token);
                    last = await response.Content.ReadAsStringAsync(Token);
                    return response.StatusCode == status && last.Contains(text, StringComparison.Ordinal);
                }
                catch (HttpRequestException)
                {
                    return false; // not listening yet
                }
            },
            text,
            () => last + server.Log);
    }
}
