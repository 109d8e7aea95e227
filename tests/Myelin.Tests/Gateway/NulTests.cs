using Myelin.Hosting.Configuration;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Gateway;

/// <summary>U+0000, which PostgreSQL's text cannot hold, in every place of a submission that takes text.</summary>
public sealed class NulTests : IAsyncLifetime
{
    private RunningServer _server = null!;

    public async ValueTask InitializeAsync()
    {
        var database = await PostgresDatabase.CreateAsync(TestContext.Current.CancellationToken);
        _server = await RunningServer.StartAsync(o => o with { Storage = new StorageOptions { Connection = database.Connection } }, worker: false);
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Theory]
    [InlineData("""{"model":"faces\u0000"}""", "model")]
    [InlineData("""{"model":"faces","key":"a\u0000b"}""", "key")]
    [InlineData("""{"model":"faces","parameters":{"threshold":"\u0000"}}""", "parameters.threshold")]
    [InlineData("""{"model":"faces","parameters":{"a\u0000b":1}}""", "parameters")]
    [InlineData("""{"model":"faces","callback":{"url":"https://example.com/\u0000"}}""", "callback.url")]
    [InlineData("""{"model":"faces","callback":{"url":"https://example.com/","secret":"0123456789abcdef\u0000"}}""", "callback.secret")]
    [InlineData("""{"model":"faces","input":{"image":"\u0000"}}""", "input.image")]
    [InlineData("""{"model":"faces","input":{"image":{"url":"https://example.com/\u0000"}}}""", "input.image")]
    public async Task Json_HoldsNul_Is400AndNamesTheField(string json, string field)
    {
        var problem = await _server.Http.PostForProblemAsync("/v1/jobs", Http.Json(json));

        problem.Status.ShouldBeOneOf(400, 404);
        problem.Errors.ShouldNotBeNull().Keys.ShouldContain(field);
    }

    [Theory]
    [InlineData("key", "a\0b", "key")]
    [InlineData("callback", "https://example.com/\0", "callback.url")]
    [InlineData("parameters", "{\"threshold\":\"\\u0000\"}", "parameters.threshold")]
    public async Task Form_HoldsNul_Is400AndNamesTheField(string name, string value, string field)
    {
        var problem = await _server.Http.PostForProblemAsync("/v1/jobs", Http.Form(Pictures.Jpeg(), fields: (name, value)));

        problem.Status.ShouldBe(400);
        problem.Errors.ShouldNotBeNull()[field].ShouldContain("U+0000");
    }

    [Fact]
    public async Task List_OfAModelWithNul_IsNoFaultOfTheServer() =>
        ((int)(await _server.Http.GetAsync("/v1/jobs?model=a%00b")).StatusCode).ShouldBeInRange(200, 499);

    [Fact]
    public async Task Form_BackslashBeforeTheEscape_IsNoNul()
    {
        var problem = await _server.Http.PostForProblemAsync("/v1/jobs", Http.Json("""{"model":"faces","parameters":{"other":"\\u0000"}}"""));

        problem.Errors.ShouldNotBeNull()["parameters.other"].ShouldNotContain("U+0000");
    }
}
