using Myelin.Hosting.Accounts;
using Myelin.Hosting.Configuration;
using Myelin.Serving.Registry;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Configuration;

public sealed class RolesTests
{
    [Theory]
    [InlineData("gateway", null)]
    [InlineData(" worker , coordinator ", null)]
    [InlineData("gatway", "'gatway' is none")]
    [InlineData(" , ", "none is given")]
    public void Roles_Read_AreKnownOnesOrAnError(string roles, string? error)
    {
        var (_, errors) = OptionsReader.Read(["--roles", roles], _ => null);

        if (error is null)
        {
            errors.ShouldBeEmpty();
        }
        else
        {
            errors.ShouldHaveSingleItem().ShouldContain(error);
        }
    }

    [Theory]
    [InlineData("gateway,worker,coordinator", "", "", null)]
    [InlineData("worker", "", "", "PostgreSQL")]
    [InlineData("worker", "Host=db", "", null)]
    [InlineData("worker", "Host=db", "kafka:9092", null)]
    [InlineData("coordinator", "Host=db", "kafka:9092", null)]
    [InlineData("gateway", "Host=db", "kafka:9092", "webhooks.secret")]
    public void Warnings_RolesThatNeedAnEngine_NameIt(string roles, string connection, string bootstrap, string? warning)
    {
        var options = new MyelinOptions
        {
            Roles = roles,
            Storage = new StorageOptions { Connection = connection },
            Bus = new BusOptions { Kafka = new KafkaOptions { Bootstrap = bootstrap } },
        };

        var warnings = RolesCheck.Warnings(options).ToList();

        (warnings.Count == 0 ? null : warnings.Single()).ShouldSatisfyAllConditions(
            found => (found is null).ShouldBe(warning is null),
            found => (found ?? "").ShouldContain(warning ?? ""));
    }

    [Theory]
    [InlineData("", "", null)]
    [InlineData("http://127.0.0.1:8081", "", null)]
    [InlineData("http://localhost:8081", "", null)]
    [InlineData("http://0.0.0.0:8081", "", "cluster.key")]
    [InlineData("http://*:8081", "", "cluster.key")]
    [InlineData("http://10.0.0.1:8081", "", "cluster.key")]
    [InlineData("http://10.0.0.1:8081", "0123456789abcdef", null)]
    [InlineData("http://10.0.0.1:8081", "short", "16")]
    [InlineData("http://127.0.0.1:8080", "", "port 8080 is that of urls")]
    [InlineData("https://127.0.0.1:8081", "", "http://address:port")]
    [InlineData("somewhere", "", "http://address:port")]
    public void Door_OpenToOthers_NeedsTheKey(string listen, string key, string? error)
    {
        var options = new MyelinOptions { Worker = new WorkerOptions { Listen = listen }, Cluster = new ClusterOptions { Key = key } };

        string[] errors = [.. WorkerListener.Errors(options), .. SharedSecret.Errors(options)];

        if (error is null)
        {
            errors.ShouldBeEmpty();
        }
        else
        {
            errors.ShouldContain(e => e.Contains(error, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Key_InText_IsNotShown()
    {
        const string key = "0123456789abcdef";
        new MyelinOptions { Cluster = new ClusterOptions { Key = key }, Telemetry = new TelemetryOptions { MetricsKey = key }, Webhooks = new WebhookOptions { Secret = key } }.ToString().ShouldNotContain(key);
    }
}
