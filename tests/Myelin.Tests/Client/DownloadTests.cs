using System.Collections.Concurrent;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Myelin.Client;
using Myelin.Protocol;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Client;

public sealed class DownloadTests
{
    private static readonly byte[] s_picture = SubmitTests.Picture(200_000);

    private static readonly JobArtifact s_artifact = new("a.png", "image/png", s_picture.Length, Hash(s_picture), "/v1/jobs/job-1/artifacts/a.png");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Download_BreaksMidway_GoesOnWhereItBroke(bool serverKnowsRanges)
    {
        var ranges = new ConcurrentQueue<string>();
        var arrived = new TaskCompletionSource();
        await using var server = await ScriptedServer.StartAsync(app => app.MapGet("/v1/jobs/{id}/artifacts/{name}", async (HttpContext context) =>
        {
            ranges.Enqueue(context.Request.Headers.Range.ToString());
            if (ranges.Count == 1)
            {
                context.Response.ContentLength = s_picture.Length;
                await context.Response.Body.WriteAsync(s_picture.AsMemory(0, 120_000));
                await context.Response.Body.FlushAsync();

                // An abort overtakes bytes on their way: it waits until some have arrived.
                await arrived.Task;
                context.Abort();
                return;
            }

            await Results.Bytes(s_picture, enableRangeProcessing: serverKnowsRanges).ExecuteAsync(context);
        }));
        using var into = new MemoryStream();
        await server.Client().DownloadAsync(s_artifact, into, new Signal(arrived), Token);

        into.ToArray().ShouldBe(s_picture);
        ranges.Count.ShouldBe(2);
        ranges.Last().ShouldStartWith("bytes=");
    }

    [Fact]
    public async Task Download_OtherBytes_AreRefused()
    {
        var other = (byte[])s_picture.Clone();
        other[^1] ^= 1;
        await using var server = await ScriptedServer.StartAsync(app => app.MapGet("/v1/jobs/{id}/artifacts/{name}", () => Results.Bytes(other)));
        var failure = await Should.ThrowAsync<InvalidDataException>(() => server.Client().DownloadAsync(s_artifact, Stream.Null, null, Token));
        failure.Message.ShouldContain(Hash(other));
    }

    [Fact]
    public async Task Preview_AlreadyGone_IsNull()
    {
        await using var server = await ScriptedServer.StartAsync(app =>
            app.MapGet("/v1/jobs/{id}/preview", () => ScriptedServer.Problem(410, ProblemTypes.Gone, "Gone.")));
        (await server.Client().PreviewAsync("/v1/jobs/job-1/preview", Token)).ShouldBeNull();
    }

    private sealed class Signal(TaskCompletionSource source) : IProgress<TransferProgress>
    {
        public void Report(TransferProgress value) => source.TrySetResult();
    }

    internal static string Hash(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));
}
