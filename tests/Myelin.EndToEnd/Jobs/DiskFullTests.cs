using System.Diagnostics;
using System.Net;
using System.Text.Json;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Jobs;

public sealed class DiskFullTests
{
    /// <summary>A small tmpfs is filled with submissions; they are refused with 507, and go on once there is space.</summary>
    [Fact]
    public async Task Submit_DiskFull_AnswersStorageFullAndRecovers()
    {
        var data = Directory.CreateTempSubdirectory("myelin-small-").FullName;
        Assert.SkipUnless(Run("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", data) == 0, "needs root to mount a small tmpfs");
        try
        {
            await using var server = new ServerProcess(data, new Dictionary<string, string>
            {
                ["MYELIN_JOBS_MINIMUM_FREE_BYTES"] = "0", // no reserve: the disk really runs full
                ["MYELIN_JOBS_QUEUE_LIMIT"] = "100000",
            });
            await server.StartAsync(TestContext.Current.CancellationToken);
            var ballast = Path.Combine(data, "ballast");
            var picture = await File.ReadAllBytesAsync(Path.Combine(Shared.Root, "samples", "sign.jpg"), TestContext.Current.CancellationToken);
            var accepted = new List<string> { (await SubmitAsync(server.Http, picture)).Id! };

            Fill(ballast);
            var refusals = 0;
            for (var i = 0; i < 60; i++)
            {
                var (status, id) = await SubmitAsync(server.Http, picture);
                status.ShouldBeOneOf(HttpStatusCode.Accepted, HttpStatusCode.InsufficientStorage);
                refusals += status == HttpStatusCode.InsufficientStorage ? 1 : 0;
                accepted.AddRange(id is null ? [] : [id]);
            }

            refusals.ShouldBeGreaterThan(0, "the disk never ran full");
            File.Delete(ballast);
            (await SubmitUntilAcceptedAsync(server.Http, picture, accepted)).ShouldBeTrue("submissions do not recover after space returned");

            await server.KillAsync();
            await server.StartAsync(TestContext.Current.CancellationToken);
            foreach (var id in accepted)
            {
                var job = await EndAsync(server.Http, id);
                job.State.ShouldBe(JobState.Succeeded, $"{id}: {job.Error?.Detail}\n{server.Log}");
            }
        }
        finally
        {
            Run("umount", "-l", data);
            Directory.Delete(data, recursive: true);
        }
    }

    private static void Fill(string path)
    {
        using var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 1);
        foreach (var size in new[] { 64 * 1024, 4096, 512 })
        {
            try
            {
                while (true)
                {
                    file.Write(new byte[size]);
                }
            }
            catch (IOException)
            {
                // Full for this block size; try smaller ones.
            }
        }
    }

    private static async Task<bool> SubmitUntilAcceptedAsync(HttpClient http, byte[] picture, List<string> accepted)
    {
        for (var attempt = 0; attempt < 50; attempt++)
        {
            if (await SubmitAsync(http, picture) is { Id: { } id })
            {
                accepted.Add(id);
                return true;
            }

            await Task.Delay(100);
        }

        return false;
    }

    private static async Task<(HttpStatusCode Status, string? Id)> SubmitAsync(HttpClient http, byte[] picture)
    {
        using var form = new MultipartFormDataContent { { new StringContent("faces"), "model" } };
        form.Add(new ByteArrayContent(picture) { Headers = { ContentType = new("image/jpeg") } }, "image", "sign.jpg");
        using var response = await http.PostAsync(new Uri("/v1/jobs", UriKind.Relative), form);
        var body = await response.Content.ReadAsByteArrayAsync();
        return response.StatusCode == HttpStatusCode.Accepted
            ? (response.StatusCode, JsonSerializer.Deserialize(body, JsonContext.Default.Job)!.Id)
            : (response.StatusCode, null);
    }

    private static async Task<Job> EndAsync(HttpClient http, string id)
    {
        for (var attempt = 0; ; attempt++)
        {
            var job = JsonSerializer.Deserialize(await http.GetByteArrayAsync(new Uri($"/v1/jobs/{id}?wait=30s", UriKind.Relative)), JsonContext.Default.Job)!;
            if (job.State.IsEnd() || attempt == 20)
            {
                return job;
            }
        }
    }

    private static int Run(string program, params string[] arguments)
    {
        using var process = System.Diagnostics.Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.WaitForExit();
        return process.ExitCode;
    }
}
