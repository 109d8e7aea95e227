using System.Text;
using System.Text.Json;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Jobs;

public sealed class GenerationKillTests
{
    /// <summary>The process dies in the middle of a generation without a seed: the second attempt draws the picture the first would have.</summary>
    [Fact]
    public async Task Server_KilledInMidGeneration_RunsAgainAndGivesTheSamePicture()
    {
        await using var server = new ServerProcess();
        await server.StartAsync(TestContext.Current.CancellationToken);
        var submitted = await SubmitAsync(server.Http, "/v1/jobs", """{"model":"emoji-diffusion","parameters":{"prompt":"red apple","steps":150}}""");
        Job job;
        do
        {
            job = await GetAsync(server.Http, $"/v1/jobs/{submitted.Id}");
        }
        while (job.Progress is null or { Step: < 3 } && !job.State.IsEnd());

        job.State.ShouldBe(JobState.Running, "it must be killed in the middle");
        await server.KillAsync();
        await server.StartAsync(TestContext.Current.CancellationToken);
        var ended = await GetAsync(server.Http, $"/v1/jobs/{submitted.Id}?wait=60s");
        ended.State.ShouldBe(JobState.Succeeded, ended.Error?.Detail);
        ended.Attempt.ShouldBe(2);

        var seed = ended.Result!.Value.GetProperty("parameters").GetProperty("seed").GetInt64();
        seed.ShouldBe(job.Parameters!.Value.GetProperty("seed").GetInt64());
        var alone = await SubmitAsync(server.Http, "/v1/jobs?wait=60s", $$$"""{"model":"emoji-diffusion","parameters":{"prompt":"red apple","steps":150,"seed":{{{seed}}}}}""");
        (await PictureAsync(server.Http, ended)).ShouldBe(await PictureAsync(server.Http, alone));
    }

    private static async Task<byte[]> PictureAsync(HttpClient http, Job job) =>
        await http.GetByteArrayAsync(new Uri(job.Artifacts.Single().Url!, UriKind.Relative));

    private static async Task<Job> SubmitAsync(HttpClient http, string path, string json)
    {
        using var body = new StringContent(json, Encoding.UTF8, "application/json");
        using var response = await http.PostAsync(new Uri(path, UriKind.Relative), body);
        var text = await response.Content.ReadAsStringAsync();
        response.IsSuccessStatusCode.ShouldBeTrue(text);
        return JsonSerializer.Deserialize(text, JsonContext.Default.Job)!;
    }

    private static async Task<Job> GetAsync(HttpClient http, string path) =>
        JsonSerializer.Deserialize(await http.GetStringAsync(new Uri(path, UriKind.Relative)), JsonContext.Default.Job)!;
}
