using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;

namespace Myelin.EndToEnd.Distributed;

/// <summary>
/// Clients that submit as the documents say: every submission has an Idempotency-Key, and is repeated, at the next
/// gateway, after a broken connection, 429 or 503. Most jobs are a tiny network's; every twentieth is a picture with an
/// annotated picture as result; three of ten have a key, and those of one key come from one client.
/// </summary>
/// <param name="gateways">Where they submit, by turns.</param>
/// <param name="jobs">How many in all.</param>
/// <param name="clients">How many at a time.</param>
/// <param name="pause">Of each client after a submission.</param>
internal sealed class ClusterLoad(IReadOnlyList<HttpClient> gateways, int jobs, int clients, TimeSpan pause = default)
{
    private const string Iris = """{"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}""";

    private readonly byte[] _picture = File.ReadAllBytes(Path.Combine(Shared.Root, "samples", "sign.jpg"));
    private readonly ConcurrentDictionary<string, int> _repeats = [];
    private readonly ConcurrentBag<double> _answers = [];

    /// <summary>Milliseconds from each submission that was accepted to its answer.</summary>
    public IReadOnlyCollection<double> Answers => _answers;

    /// <summary>Ids by Idempotency-Key.</summary>
    public ConcurrentDictionary<string, string> Accepted { get; } = [];

    /// <summary>Ids of a key's jobs as their client heard of them.</summary>
    public ConcurrentDictionary<string, List<string>> Keys { get; } = [];

    /// <summary>Submissions that were repeated, by reason.</summary>
    public IReadOnlyDictionary<string, int> Repeats => _repeats;

    public ReadOnlyMemory<byte> Picture => _picture;

    public Task RunAsync(CancellationToken cancellationToken) => Task.WhenAll(Enumerable.Range(0, clients).Select(client => ClientAsync(client, cancellationToken)));

    /// <summary>Every submission became one job, which succeeded once, after those of its key that came before.</summary>
    public async Task CheckAsync(JobAudit audit, string logs)
    {
        Accepted.Count.ShouldBe(jobs);
        Accepted.Values.Distinct().Count().ShouldBe(jobs, "two submissions became one job");
        (await audit.CountAsync("SELECT count(*) FROM jobs")).ShouldBe(jobs, "a repeated submission became a second job");
        (await audit.NotEndedOnceAsync()).ShouldBeEmpty(logs);
        (await audit.UnsuccessfulAsync()).ShouldBeEmpty();
        (await audit.OvertakenAsync()).ShouldBeEmpty();
        foreach (var (key, ids) in Keys)
        {
            (await audit.OfKeyAsync(key)).ShouldBe(ids, $"the jobs of {key} were accepted in another order than submitted");
        }
    }

    private async Task ClientAsync(int client, CancellationToken cancellationToken)
    {
        for (var number = client; number < jobs; number += clients)
        {
            var key = number / clients % 10 < 3 ? $"key-{client}-{number / clients % 3}" : null;
            var isPicture = number % 20 == 7;
            for (var attempt = 0; !Accepted.ContainsKey($"job-{number}"); attempt++)
            {
                var gateway = gateways[(number + attempt) % gateways.Count];
                if (await TrySubmitAsync(gateway, number, key, isPicture, cancellationToken) is { } id)
                {
                    Accepted[$"job-{number}"] = id;
                    if (key is not null)
                    {
                        Keys.GetOrAdd(key, _ => []).Add(id);
                    }

                    await Task.Delay(pause, cancellationToken);
                }
                else
                {
                    await Task.Delay(50, cancellationToken);
                }
            }
        }
    }

    private async Task<string?> TrySubmitAsync(HttpClient http, int number, string? key, bool isPicture, CancellationToken cancellationToken)
    {
        var start = Stopwatch.GetTimestamp();
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/jobs") { Content = isPicture ? Form(key) : Json(key) };
            request.Headers.Add("Idempotency-Key", $"job-{number}");
            using var response = await http.SendAsync(request, cancellationToken);
            var text = await response.Content.ReadAsStringAsync(cancellationToken);
            if (response.StatusCode is HttpStatusCode.ServiceUnavailable or HttpStatusCode.TooManyRequests)
            {
                response.Headers.RetryAfter.ShouldNotBeNull(text);
                return Repeat(((int)response.StatusCode).ToString(System.Globalization.CultureInfo.InvariantCulture));
            }

            response.StatusCode.ShouldBeOneOf([HttpStatusCode.Accepted, HttpStatusCode.OK], text); // 200: the repeat of one that has ended meanwhile
            _answers.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            return JsonSerializer.Deserialize(text, JsonContext.Default.Job)!.Id;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or TaskCanceledException && !cancellationToken.IsCancellationRequested)
        {
            return Repeat("connection");
        }
    }

    private string? Repeat(string reason)
    {
        _repeats.AddOrUpdate(reason, 1, (_, count) => count + 1);
        return null;
    }

    private static StringContent Json(string? key) => new(
        key is null ? $$"""{"model":"iris","input":{{Iris}}}""" : $$"""{"model":"iris","key":"{{key}}","input":{{Iris}}}""", Encoding.UTF8, "application/json");

    private MultipartFormDataContent Form(string? key)
    {
        var form = new MultipartFormDataContent { { new StringContent("faces"), "model" } };
        if (key is not null)
        {
            form.Add(new StringContent(key), "key");
        }

        form.Add(new ByteArrayContent(_picture) { Headers = { ContentType = new MediaTypeHeaderValue("image/jpeg") } }, "image", "sign.jpg");
        return form;
    }
}
