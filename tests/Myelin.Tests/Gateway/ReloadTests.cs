using Myelin.Hosting.Bus.Postgres;
using Myelin.Hosting.Configuration;
using Myelin.Serving.Models;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Gateway;

public sealed class ReloadTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>No broker between them: the database carries the word to the worker, as it carries a cancel.</summary>
    [Fact]
    public async Task Reload_AtAGatewayOverASharedDatabase_ReachesTheWorker()
    {
        var storage = new StorageOptions { Connection = (await PostgresDatabase.CreateAsync(Token)).Connection };
        await using var worker = await RunningServer.StartAsync(options => options with { Storage = storage, Roles = "worker" });
        await using var gateway = await RunningServer.StartAsync(options => options with { Storage = storage }, worker: false);
        foreach (var process in new[] { worker, gateway })
        {
            await Wait.UntilAsync(() => process.Get<PostgresBus>().IsListening);
        }

        var before = await ServedAsync(worker);
        using var answer = await gateway.Http.PostAsync(new Uri("/v1/models/faces/reload", UriKind.Relative), null, Token);

        answer.IsSuccessStatusCode.ShouldBeTrue();
        await Wait.UntilAsync(async () => !ReferenceEquals(await ServedAsync(worker), before));
    }

    private static async Task<object> ServedAsync(RunningServer worker)
    {
        using var lease = await worker.Get<ModelRepository>().AcquireAsync("faces", Token);
        return lease.Task;
    }
}
