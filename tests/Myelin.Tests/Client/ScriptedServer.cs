using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Myelin.Client;
using Myelin.Protocol;
using Xunit;

namespace Myelin.Tests.Client;

/// <summary>
/// A real Kestrel that plays a server on its worst days: busy, dropping connections, ignoring ranges. What a healthy
/// server answers is tested against the real one.
/// </summary>
internal sealed class ScriptedServer : IAsyncDisposable
{
    private readonly WebApplication _app;

    private ScriptedServer(WebApplication app)
    {
        _app = app;
        Address = new(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());
        Http = new() { BaseAddress = Address };
    }

    public Uri Address { get; }

    public HttpClient Http { get; }

    public static async Task<ScriptedServer> StartAsync(Action<WebApplication> map)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        builder.Services.ConfigureHttpJsonOptions(o => o.SerializerOptions.TypeInfoResolverChain.Insert(0, JsonContext.Default));
        var app = builder.Build();
        map(app);
        await app.StartAsync(TestContext.Current.CancellationToken);
        return new(app);
    }

    /// <summary>A client that loses no time between tries.</summary>
    public MyelinClient Client(Func<MyelinClientOptions, MyelinClientOptions>? change = null)
    {
        var options = new MyelinClientOptions { RetryDelay = TimeSpan.FromMilliseconds(1) };
        return new(Http, change?.Invoke(options) ?? options);
    }

    public static Job Job(JobState state = JobState.Queued, string id = "job-1") =>
        new() { Id = id, Model = "faces", State = state, CreatedAt = DateTimeOffset.UnixEpoch };

    public static IResult Problem(int status, string type, string detail) => Results.Json(
        new Problem { Type = type, Title = "No", Status = status, Detail = detail },
        JsonContext.Default.Problem,
        Myelin.Protocol.Problem.ContentType,
        status);

    public static string Event(long id, string kind, Job job) =>
        $"id: {id}\nevent: {kind}\ndata: {System.Text.Json.JsonSerializer.Serialize(new JobEvent(id, kind, job), JsonContext.Default.JobEvent)}\n\n";

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.DisposeAsync();
    }
}
