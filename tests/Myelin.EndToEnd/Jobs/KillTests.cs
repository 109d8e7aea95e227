using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Jobs;

public sealed class KillTests
{
    private const int Kills = 50;

    /// <summary>
    /// Real pictures are posted by several clients while the process is killed at random moments, every fifth time by SIGINT. Whatever was answered
    /// with 202 must end, and its input must be the bytes that were sent.
    /// </summary>
    [Fact]
    public async Task Server_KilledFiftyTimesUnderLoad_EveryAcceptedJobEndsAndKeepsItsInput()
    {
        var seed = int.TryParse(Environment.GetEnvironmentVariable("MYELIN_TEST_SEED"), out var given) ? given : Environment.TickCount;
        TestContext.Current.TestOutputHelper!.WriteLine($"MYELIN_TEST_SEED={seed}");
        var random = new Random(seed);
        var picture = await File.ReadAllBytesAsync(Path.Combine(Shared.Root, "samples", "sign.jpg"));
        var pictureHash = Convert.ToHexStringLower(SHA256.HashData(picture));
        await using var server = new ServerProcess(environment: new Dictionary<string, string>
        {
            ["MYELIN_JOBS_QUEUE_LIMIT"] = "100000",
            ["MYELIN_JOBS_MAX_ATTEMPTS"] = "100",
            ["MYELIN_TELEMETRY_LOG_LEVEL"] = "Warning",
        });
        var accepted = new ConcurrentQueue<string>();

        for (var kill = 0; kill < Kills; kill++)
        {
            await server.StartAsync(TestContext.Current.CancellationToken);
            using var stop = new CancellationTokenSource();
            var clients = Enumerable.Range(0, 4).Select(_ => SubmitUntilDeadAsync(server.Http, picture, accepted, stop.Token)).ToList();
            var before = accepted.Count;
            await Wait.UntilAsync(() => accepted.Count > before);
            await Task.Delay(random.Next(0, 300));
            if (kill % 5 == 4)
            {
                // As Ctrl-C: it finishes what runs and refuses the rest.
                await server.SignalAsync("INT");
                (await server.ExitAsync(TimeSpan.FromMinutes(2))).ShouldBe(0, server.Log);
            }
            else
            {
                await server.KillAsync();
            }

            await stop.CancelAsync();
            await Task.WhenAll(clients);
        }

        await server.StartAsync(TestContext.Current.CancellationToken);
        accepted.Count.ShouldBeGreaterThanOrEqualTo(Kills, "too little load to prove anything");
        foreach (var id in accepted)
        {
            var job = await EndAsync(server.Http, id);
            job.State.ShouldBe(JobState.Succeeded, $"job {id}: {job.Error?.Detail}");
            job.Inputs.Single().Sha256.ShouldBe(pictureHash);
            var input = await server.Http.GetByteArrayAsync(new Uri(job.Inputs.Single().Url!, UriKind.Relative));
            SHA256.HashData(input).ShouldBe(SHA256.HashData(picture));
        }

        TestContext.Current.TestOutputHelper!.WriteLine($"{accepted.Count} accepted jobs ended over {Kills} kills");
    }

    private static async Task SubmitUntilDeadAsync(HttpClient http, byte[] picture, ConcurrentQueue<string> accepted, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                using var form = new MultipartFormDataContent { { new StringContent("faces"), "model" } };
                form.Add(new ByteArrayContent(picture) { Headers = { ContentType = new("image/jpeg") } }, "image", "sign.jpg");
                using var response = await http.PostAsync(new Uri("/v1/jobs", UriKind.Relative), form, stop);
                if (response.StatusCode == HttpStatusCode.ServiceUnavailable)
                {
                    await Task.Delay(5, CancellationToken.None); // it is about to stop
                    continue;
                }

                response.StatusCode.ShouldBe(HttpStatusCode.Accepted);
                var job = JsonSerializer.Deserialize(await response.Content.ReadAsByteArrayAsync(stop), JsonContext.Default.Job)!;
                accepted.Enqueue(job.Id);
            }
            catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
            {
                // The process is gone in the middle of a call: no 202 was read, so nothing was promised.
                if (stop.IsCancellationRequested)
                {
                    return;
                }

                await Task.Delay(5, CancellationToken.None);
            }
        }
    }

    private static async Task<Job> EndAsync(HttpClient http, string id)
    {
        for (var attempt = 0; attempt < 20; attempt++)
        {
            using var response = await http.GetAsync(new Uri($"/v1/jobs/{id}?wait=30s", UriKind.Relative));
            response.StatusCode.ShouldBe(HttpStatusCode.OK, $"job {id} was answered with 202 and is lost");
            var job = JsonSerializer.Deserialize(await response.Content.ReadAsByteArrayAsync(), JsonContext.Default.Job)!;
            if (job.State.IsEnd())
            {
                return job;
            }
        }

        throw new TimeoutException($"job {id} does not end");
    }
}
