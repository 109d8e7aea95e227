using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Myelin.Hosting.Capabilities;
using Myelin.Hosting.Configuration;
using Myelin.Testing;
using Myelin.Tests.Accounts;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Capabilities;

/// <summary>A capability is added without opening another: <see cref="VisitsCapability"/> is all there is of it.</summary>
public sealed class CapabilityTests
{
    private static readonly Capability[] s_visits = [new VisitsCapability()];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Capability_NamedOnce_HasItsTableSettingEndpointSeriesAndPage(bool shared)
    {
        var connection = shared ? (await PostgresDatabase.CreateAsync(Token)).Connection : "";
        var (read, errors) = OptionsReader.Read(["--visits-step", "3"], _ => null, s_visits.Sections());
        errors.ShouldBeEmpty();
        await using var server = await RunningServer.StartAsync(
            o => o with { RequireKeys = true, Sections = read.Sections, Storage = o.Storage with { Connection = connection } }, worker: false, capabilities: s_visits);

        (await VisitAsync(server, "manage")).ShouldBe((HttpStatusCode.OK, "3"));
        (await VisitAsync(server, "manage")).ShouldBe((HttpStatusCode.OK, "6"));
        (await VisitAsync(server, "infer")).Status.ShouldBe(HttpStatusCode.Forbidden);
        (await VisitAsync(server, scopes: null)).Status.ShouldBe(HttpStatusCode.Unauthorized);

        server.Get<Hosting.Telemetry.MetricsPage>().Write().ShouldContain("myelin_visits_total 6");
        using var document = JsonDocument.Parse(await server.Http.GetStringAsync("/openapi/v1.json", Token));
        document.RootElement.GetProperty("paths").GetProperty("/v1/visits").GetProperty("post").GetProperty("summary").GetString().ShouldBe("Count a visit");
    }

    [Fact]
    public void Settings_OfACapability_AreReadAndExplainedWithAllOthers()
    {
        var environment = new Dictionary<string, string> { ["MYELIN_VISITS_STEP"] = "1000" };

        var (_, errors) = OptionsReader.Read(["--visits-stop", "1", "--jobs-max-attempts", "0"], environment.GetValueOrDefault, s_visits.Sections());

        errors.ShouldContain(e => e.StartsWith("MYELIN_VISITS_STEP", StringComparison.Ordinal));
        errors.ShouldContain(e => e.Contains("--visits-stop", StringComparison.Ordinal) && e.Contains("--visits-step", StringComparison.Ordinal));
        errors.ShouldContain(e => e.StartsWith("--jobs-max-attempts", StringComparison.Ordinal));
        Help.Text(new MyelinOptions { Sections = s_visits.Sections() }).ShouldContain("MYELIN_VISITS_STEP, visits.step; default 1");
    }

    private static async Task<(HttpStatusCode Status, string Text)> VisitAsync(RunningServer server, string? scopes)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/visits");
        if (scopes is not null)
        {
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", await KeyTests.CreateAsync(server, "k", scopes));
        }

        using var answer = await server.Http.SendAsync(request, Token);
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync(Token));
    }
}
