using System.Net;
using System.Text.Json;
using Myelin.Protocol;
using Myelin.Serving.Models;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Models.Catalogue;

/// <summary>The catalogue over HTTP, with the mirror as the network.</summary>
public sealed class CatalogueTests
{
    [Fact]
    public async Task Install_EveryVerifiedEntryOfTheMirror_BecomesReadyAndShowsProgress()
    {
        var mirror = Path.GetDirectoryName(Shared.Zoo("iris.onnx"))!;
        await using var server = await RunningServer.StartAsync(o => o with { ModelMirror = mirror });
        var entries = JsonSerializer.Deserialize(await server.Http.GetStringAsync(new Uri("/v1/catalogue", UriKind.Relative), TestContext.Current.CancellationToken), JsonContext.Default.PageCatalogueEntry)!.Data;
        entries.Count.ShouldBeGreaterThan(8);

        foreach (var entry in entries.Where(e => e.Verified))
        {
            var job = await InstallAsync(server.Http, entry.Name);
            job.State.ShouldBe(JobState.Succeeded, $"{entry.Name}: {job.Error?.Detail}");
        }

        var models = server.Get<ModelRepository>();
        await models.WarmAsync(TestContext.Current.CancellationToken);
        foreach (var entry in entries.Where(e => e.Verified))
        {
            models.Find(entry.Name)!.State.ShouldBeOneOf(ModelState.Ready, ModelState.Available);
            models.Find(entry.Name)!.Errors.ShouldBeEmpty(entry.Name);
        }

        Directory.EnumerateFileSystemEntries(Path.Combine(models.Folder, ".installing")).ShouldBeEmpty();
    }

    [Fact]
    public async Task Install_UnknownName_IsNotFound()
    {
        await using var server = await RunningServer.StartAsync();

        using var response = await server.Http.PostAsync(new Uri("/v1/catalogue/no-such/install", UriKind.Relative), null, TestContext.Current.CancellationToken);

        response.StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).ShouldContain("GET /v1/catalogue");
    }

    [Fact]
    public async Task Submit_SystemModel_IsRefused()
    {
        await using var server = await RunningServer.StartAsync();
        using var body = new StringContent("""{"model":"@catalogue","parameters":{"name":"iris"}}""", System.Text.Encoding.UTF8, "application/json");

        using var response = await server.Http.PostAsync(new Uri("/v1/jobs", UriKind.Relative), body, TestContext.Current.CancellationToken);

        response.StatusCode.ShouldBe(HttpStatusCode.NotFound);
    }

    private static async Task<Job> InstallAsync(HttpClient http, string name)
    {
        using var response = await http.PostAsync(new Uri($"/v1/catalogue/{name}/install", UriKind.Relative), null);
        response.StatusCode.ShouldBe(HttpStatusCode.Accepted);
        var job = JsonSerializer.Deserialize(await response.Content.ReadAsStringAsync(), JsonContext.Default.Job)!;
        return JsonSerializer.Deserialize(await http.GetStringAsync(new Uri($"/v1/jobs/{job.Id}?wait=60s", UriKind.Relative)), JsonContext.Default.Job)!;
    }
}
