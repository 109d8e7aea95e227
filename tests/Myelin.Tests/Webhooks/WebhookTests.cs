using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Myelin.Hosting.Configuration;
using Myelin.Jobs.Webhooks;
using Myelin.Protocol;
using Myelin.Testing;
using Myelin.Tests.Gateway;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Webhooks;

/// <summary>Deliveries to a real receiver.</summary>
public sealed class WebhookTests
{
    [Theory]
    [InlineData("\"secret\":\"whsec_MDEyMzQ1Njc4OWFiY2RlZg==\"", "0123456789abcdef")]
    [InlineData("\"secret\":\"0123456789abcdef\"", "0123456789abcdef")]
    [InlineData("", null)]
    public async Task Delivery_OfAFinishedJob_IsSignedAndHoldsTheJob(string secret, string? key)
    {
        await using var receiver = await Receiver.StartAsync(200);
        await using var server = await StartAsync();
        var callback = $"\"callback\":{{\"url\":\"{receiver.Url}\"{(secret.Length > 0 ? "," + secret : "")}}}";
        var job = await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg(), callback));

        var call = await receiver.NextAsync();

        call.Headers["webhook-id"].ShouldBe(job.Id);
        var bytes = key is null
            ? Convert.FromBase64String((await File.ReadAllTextAsync(Path.Combine(server.Get<MyelinOptions>().Data, "webhook-secret")))["whsec_".Length..])
            : Encoding.ASCII.GetBytes(key);
        var signed = HMACSHA256.HashData(bytes, Encoding.UTF8.GetBytes($"{job.Id}.{call.Headers["webhook-timestamp"]}.{call.Body}"));
        call.Headers["webhook-signature"].ShouldBe("v1," + Convert.ToBase64String(signed));
        JsonSerializer.Deserialize(call.Body, JsonContext.Default.Job)!.State.ShouldBe(JobState.Succeeded);
        call.Body.ShouldNotContain("secret");
        call.Headers.Keys.ShouldNotContain("traceparent");
        if (key is null && !OperatingSystem.IsWindows())
        {
            File.GetUnixFileMode(Path.Combine(server.Get<MyelinOptions>().Data, "webhook-secret")).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }
    }

    [Fact]
    public async Task Delivery_WithASecretOfTheSettings_IsSignedWithItAndMakesNone()
    {
        await using var receiver = await Receiver.StartAsync(200);
        await using var server = await RunningServer.StartAsync(o => o with { Webhooks = o.Webhooks with { AllowPrivate = true, Secret = "the same in every process" } }, InstantTask.Install);
        var job = await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg(), $"\"callback\":{{\"url\":\"{receiver.Url}\"}}"));

        var call = await receiver.NextAsync();

        var signed = HMACSHA256.HashData("the same in every process"u8, Encoding.UTF8.GetBytes($"{job.Id}.{call.Headers["webhook-timestamp"]}.{call.Body}"));
        call.Headers["webhook-signature"].ShouldBe("v1," + Convert.ToBase64String(signed));
        File.Exists(Path.Combine(server.Get<MyelinOptions>().Data, "webhook-secret")).ShouldBeFalse();
    }

    [Fact]
    public async Task Delivery_ThatFails_IsRepeatedUnderTheSameId()
    {
        await using var receiver = await Receiver.StartAsync(500, 302, 200);
        await using var server = await StartAsync();
        await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg(), $"\"callback\":{{\"url\":\"{receiver.Url}\"}}"));

        var calls = new[] { await receiver.NextAsync(), await receiver.NextAsync(), await receiver.NextAsync() };

        calls.Select(c => c.Headers["webhook-id"]).Distinct().ShouldHaveSingleItem();
        calls.Select(c => c.Body).Distinct().ShouldHaveSingleItem();
        await MetricAsync(server, "myelin_webhooks_deliveries_total{outcome=\"delivered\"} 1");
        receiver.Waiting.ShouldBe(0); // the redirect led nowhere
    }

    [Fact]
    public async Task Delivery_ThatNeverSucceeds_IsGivenUpAndCounted()
    {
        await using var receiver = await Receiver.StartAsync(503);
        await using var server = await StartAsync(maxAttempts: 2);
        await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg(), $"\"callback\":{{\"url\":\"{receiver.Url}\"}}"));

        await receiver.NextAsync();
        await receiver.NextAsync();

        await MetricAsync(server, "myelin_webhooks_deliveries_total{outcome=\"given_up\"} 1");
    }

    /// <summary>Not the receiver's fault, and none that anybody foresaw: it is an attempt all the same.</summary>
    [Fact]
    public async Task Delivery_WhoseSecretCannotBeRead_IsCountedAndGivenUp()
    {
        await using var receiver = await Receiver.StartAsync(200);
        await using var server = await StartAsync(maxAttempts: 2);
        var secret = Path.Combine(server.Get<MyelinOptions>().Data, "webhook-secret.new"); // where it is written before it is moved
        Directory.CreateDirectory(secret);

        await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg(), $"\"callback\":{{\"url\":\"{receiver.Url}\"}}"));

        await MetricAsync(server, "myelin_webhooks_deliveries_total{outcome=\"failed\"} 1");
        await MetricAsync(server, "myelin_webhooks_deliveries_total{outcome=\"given_up\"} 1");
        receiver.Waiting.ShouldBe(0);
        Directory.Delete(secret);
    }

    [Fact]
    public async Task Delivery_ToANameThatLeadsInside_IsGivenUpWithoutACall()
    {
        await using var receiver = await Receiver.StartAsync(200);
        await using var server = await StartAsync(allowPrivate: false);

        // A name the check at submission cannot judge; the connected address can.
        await server.Http.SubmitAsync(Http.Faces(Pictures.Jpeg(), $"\"callback\":{{\"url\":\"{receiver.Url.Replace("127.0.0.1", "2130706433.", StringComparison.Ordinal)}\"}}"));

        await MetricAsync(server, "myelin_webhooks_deliveries_total{outcome=");
        receiver.Waiting.ShouldBe(0);
    }

    /// <summary>More owed to one that never answers than there are places, then some to another.</summary>
    [Fact]
    public async Task Delivery_BehindReceiversThatHang_FindsAPlace()
    {
        await using var hanging = await Receiver.StartAsync();
        await using var other = await Receiver.StartAsync(200);
        await using var server = await RunningServer.StartAsync(
            o => o with { Webhooks = new WebhookOptions { AllowPrivate = true, Timeout = TimeSpan.FromHours(1) } }, InstantTask.Install);
        var picture = Pictures.Jpeg();
        foreach (var chunk in Enumerable.Range(0, 300).Chunk(50))
        {
            await Task.WhenAll(chunk.Select(_ => server.Http.SubmitAsync(Http.Faces(picture, $"\"callback\":{{\"url\":\"{hanging.Url}\"}}"))));
        }

        for (var i = 0; i < WebhookSender.OfOneReceiver; i++)
        {
            await hanging.NextAsync();
        }

        for (var i = 0; i < 3; i++)
        {
            var job = await server.Http.SubmitAsync(Http.Faces(picture, $"\"callback\":{{\"url\":\"{other.Url}\"}}"));
            (await other.NextAsync()).Headers["webhook-id"].ShouldBe(job.Id);
        }

        hanging.Waiting.ShouldBe(0);
    }

    [Fact]
    public void Delay_AttemptsUsedUp_IsNone()
    {
        var options = new WebhookOptions { RetryDelay = TimeSpan.FromSeconds(2), MaxAttempts = 4 };

        WebhookSender.Delay(options, 3).ShouldNotBeNull().ShouldBeInRange(TimeSpan.FromSeconds(6), TimeSpan.FromSeconds(10));
        WebhookSender.Delay(options, 4).ShouldBeNull();
    }

    private static Task<RunningServer> StartAsync(int maxAttempts = 8, bool allowPrivate = true) => RunningServer.StartAsync(
        o => o with { Webhooks = new WebhookOptions { AllowPrivate = allowPrivate, MaxAttempts = maxAttempts, RetryDelay = TimeSpan.FromMilliseconds(50) } },
        InstantTask.Install);

    private static Task MetricAsync(RunningServer server, string line) =>
        Wait.UntilAsync(async () => (await server.Http.GetStringAsync("/metrics")).Contains(line, StringComparison.Ordinal), line);

    private sealed record Received(Dictionary<string, string> Headers, string Body);

    private sealed class Receiver(WebApplication app, Channel<Received> calls) : IAsyncDisposable
    {
        public string Url => app.Urls.First() + "/hook";

        public int Waiting => calls.Reader.Count;

        /// <summary>Answers with the statuses in turn, then with the last one for ever; without any it never does.</summary>
        public static async Task<Receiver> StartAsync(params int[] statuses)
        {
            var builder = WebApplication.CreateSlimBuilder();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            builder.Logging.ClearProviders();
            var app = builder.Build();
            var calls = Channel.CreateUnbounded<Received>();
            var answers = new ConcurrentQueue<int>(statuses);
            app.MapPost("/hook", async (HttpContext context) =>
            {
                using var reader = new StreamReader(context.Request.Body);
                calls.Writer.TryWrite(new Received(
                    context.Request.Headers.ToDictionary(h => h.Key.ToLowerInvariant(), h => h.Value.ToString()), await reader.ReadToEndAsync()));
                if (statuses.Length == 0)
                {
                    await Task.Delay(Timeout.Infinite, context.RequestAborted);
                }

                context.Response.Headers.Location = "/hook";
                return Results.StatusCode(answers.Count > 1 && answers.TryDequeue(out var status) ? status : statuses[^1]);
            });
            await app.StartAsync();
            return new Receiver(app, calls);
        }

        public async Task<Received> NextAsync() => await calls.Reader.ReadAsync(new CancellationTokenSource(TimeSpan.FromSeconds(30)).Token);

        public ValueTask DisposeAsync() => app.DisposeAsync();
    }
}
