using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Myelin.Hosting.Configuration;
using Myelin.Protocol;
using Myelin.Serving.Registry;
using Myelin.Testing;
using Xunit;

namespace Myelin.Tests.Workers;

/// <summary>The other end of a gateway's line, as a test wants it: real HTTP/2, an answer of the test's own.</summary>
internal sealed class FakeWorker : IAsyncDisposable
{
    private readonly WebApplication _app;
    private int _calls;

    private FakeWorker(WebApplication app, string address) => (_app, Address) = (app, address);

    public string Address { get; }

    /// <summary>Requests that came.</summary>
    public int Calls => Volatile.Read(ref _calls);

    public static async Task<FakeWorker> StartAsync(RequestDelegate answer)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ConfigureEndpointDefaults(endpoint => endpoint.Protocols = HttpProtocols.Http2));
        var app = builder.Build();
        FakeWorker? worker = null;
        app.Run(context =>
        {
            Interlocked.Increment(ref worker!._calls);
            return answer(context);
        });
        await app.StartAsync();
        return worker = new FakeWorker(app, app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
    }

    /// <summary>The row of a live worker at an address that has the tensor model <c>net</c>.</summary>
    public static WorkerRow Row(string id, string? address, DateTimeOffset now, string state = "ready", int running = 0) => new()
    {
        Id = id,
        Host = $"machine/{id}",
        Address = address,
        Capacity = 4,
        Running = running,
        StartedAt = now,
        SeenAt = now,
        ExpiresAt = now.AddMinutes(10),
        Revision = 1,
        Models = [new Model { Id = "net", Name = "net", Task = "tensor", State = state, Inputs = [new ModelInput("inputs", "json", Required: true, "tensors")] }],
    };

    /// <summary>A gateway that knows these workers.</summary>
    public static async Task<RunningServer> GatewayAsync(Func<DateTimeOffset, WorkerRow[]> rows, Func<MyelinOptions, MyelinOptions> configure)
    {
        var gateway = await RunningServer.StartAsync(
            o => configure(o with
            {
                Calls = o.Calls with { Timeout = TimeSpan.FromSeconds(5), ConnectTimeout = TimeSpan.FromSeconds(5) },
                Cluster = o.Cluster with { Key = "0123456789abcdef" },
            }),
            worker: false);
        foreach (var row in rows(TimeProvider.System.GetUtcNow()))
        {
            await gateway.Get<IWorkerStore>().RegisterAsync(row, TestContext.Current.CancellationToken);
        }

        await gateway.Get<WorkerDirectory>().RefreshAsync(TestContext.Current.CancellationToken);
        return gateway;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
    }
}
