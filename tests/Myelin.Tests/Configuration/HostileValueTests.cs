using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Myelin.Hosting.Configuration;
using Myelin.Server;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Configuration;

/// <summary>Every setting with every bad value through the real reader: an error with its cure, or a server that can be made. Never an exception.</summary>
public sealed class HostileValueTests : IDisposable
{
    private static readonly string[] s_values =
    [
        "", " ", "\t", "garbage", "::bad", "-1", "0", "0s", "-5s", "99999999999999999999", "NaN", "1e308", "9e18GiB", "10000000.00:00:00",
        "http://", "http://[", "https://127.0.0.1:0", "http://127.0.0.1:99999", "http://localhost:0", "http://127.0.0.1:0/path", "a,,b", "a b c",
        "\0", "a\nb", "ü \u202e 🐟", "Host=", "Host=db;Port=x", "Nonsense=1", "%s%n{0}", "../../..", new string('x', 100_000),
    ];

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Keys => [.. Setting.Of(new MyelinOptions()).Select(s => s.Key)];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Keys))]
    public async Task Read_HostileValue_IsAnErrorOrWorks(string key)
    {
        var setting = Setting.Of(new MyelinOptions()).Single(s => s.Key == key);
        var accepted = 0;
        foreach (var value in s_values)
        {
            var (options, errors) = OptionsReader.Read([$"{setting.Flag}={value}"], _ => null);
            string[] all = [.. errors, .. MyelinServer.Errors(options)];
            foreach (var error in all)
            {
                error.Length.ShouldBeLessThan(600, "an error is read by people");
                (error.Contains(key, StringComparison.Ordinal) || error.Contains(setting.Flag, StringComparison.Ordinal)).ShouldBeTrue($"{setting.Flag}={value}: {error}");
            }

            if (all.Length == 0 && Interesting(setting))
            {
                await WorksAsync(options, accepted++);
            }
        }
    }

    [Theory]
    [InlineData("--urls", "http://0.0.0.0:8080")]
    [InlineData("--urls", "http://*:8080, http://[::1]:8081;http://localhost:8082")]
    [InlineData("--urls", "http://unix:/run/myelin.sock")]
    [InlineData("--bus-kafka-bootstrap", "kafka_1:9092, 10.0.0.1:9092,[::1]:9092,b-1.cluster.example.com:9094")]
    [InlineData("--urls", "http://127.0.0.1:8080;")]
    [InlineData("--urls", "http://127.0.0.1:8080, ,http://127.0.0.1:8081,")]
    [InlineData("--bus-kafka-bootstrap", "kafka")]
    [InlineData("--bus-kafka-bootstrap", "PLAINTEXT://kafka:9092,plaintext://kafka-2/ignored,")]
    [InlineData("--bus-kafka-bootstrap", "2001:db8::1,[2001:db8::2]:9093")]
    [InlineData("--runtime-library", "libonnxruntime.so.1")]
    [InlineData("--telemetry-otlp-endpoint", "grpc://collector:4317")]
    [InlineData("--telemetry-otlp-endpoint", "http://127.0.0.1:4318/v1/traces")]
    [InlineData("--artifacts-s3-endpoint", "http://minio_1:9000")]
    [InlineData("--artifacts-s3-region", "garage")]
    [InlineData("--allowed-hosts", "myelin.example.com models, 10.0.0.7")]
    [InlineData("--allowed-origins", "https://example.com,http://localhost:3000")]
    [InlineData("--input-url-hosts", "*")]
    [InlineData("--worker-listen", "http://127.0.0.1:8081")]
    [InlineData("--worker-address", "http://gpu-1:8081/")]
    [InlineData("--storage-connection", "Host=a,b;Username=u;Password=p=q;Database=d;SSL Mode=Require")]
    [InlineData("--jobs-retention", "3000d")]
    [InlineData("--jobs-retry-delay", "0s")]
    public void Read_OrdinaryValue_IsTaken(string flag, string value)
    {
        var (options, errors) = OptionsReader.Read([flag, value], _ => null);

        string[] all = [.. errors, .. MyelinServer.Errors(options)];
        all.ShouldBeEmpty();
    }

    /// <summary>A number or a time without bounds is an accident that waits: zero timeouts, negative limits, years that overflow.</summary>
    [Fact]
    public void Settings_NumbersAndTimes_HaveBounds()
    {
        foreach (var setting in Setting.Of(new MyelinOptions()).Where(s => s.Type != typeof(string) && s.Type != typeof(bool)))
        {
            setting.Range.ShouldNotBeNull(setting.Key);
            if (setting.Type == typeof(TimeSpan))
            {
                setting.Range.IsValid(TimeSpan.FromSeconds(-1)).ShouldBeFalse(setting.Key);
                setting.Range.IsValid(TimeSpan.FromDays(4000)).ShouldBeFalse(setting.Key);
            }
        }
    }

    /// <summary>Texts that something is made of; what a folder holds or a number allows is met when it is used.</summary>
    private static bool Interesting(Setting setting) => setting.Type == typeof(string) && setting.Key is not ("data" or "bus.kafka.bootstrap");

    private async Task WorksAsync(MyelinOptions options, int number)
    {
        options = options with { Data = _folder.Combine(number.ToString(System.Globalization.CultureInfo.InvariantCulture)), Urls = "http://127.0.0.1:0", Telemetry = options.Telemetry with { LogLevel = "Error" } };
        options = options with { Artifacts = new ArtifactsOptions { S3 = options.Artifacts.S3 == new S3Options() || options.Artifacts.S3.Bucket.Length > 0 ? options.Artifacts.S3 : options.Artifacts.S3 with { Bucket = "blobs" } } };
        await using var app = MyelinServer.Build(options);
        app.Services.GetServices<IHostedService>().ShouldNotBeEmpty();
    }
}
