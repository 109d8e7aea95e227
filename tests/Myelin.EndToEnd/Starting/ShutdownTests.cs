using System.Net.Sockets;
using System.Text;
using Myelin.Client;
using Myelin.EndToEnd.Distributed;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Starting;

/// <summary>Slow callers take nothing from the jobs' time to end.</summary>
public sealed class ShutdownTests
{
    private const int Jobs = 40;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>
    /// A download whose reader stands still and an upload that trickles for a minute are open when the server is told to
    /// stop. Nothing more is claimed from then on; what runs ends at its first attempt, and so does the rest after the next start.
    /// </summary>
    [Fact]
    public async Task Stop_SlowDownloadAndLongCallOpen_EveryJobEndsAtItsFirstAttempt()
    {
        await using var server = new ServerProcess(environment: new Dictionary<string, string>
        {
            ["MYELIN_WORKER_CONCURRENCY"] = "1",
            ["MYELIN_WORKER_DRAIN_TIMEOUT"] = "10s",
            ["MYELIN_INPUT_MIN_BYTES_PER_SECOND"] = "1",
        });
        await server.StartAsync(Token);
        using var download = await StandingDownloadAsync(server);
        using var stop = new CancellationTokenSource();
        using var upload = await ConnectAsync(server, $"POST /v1/jobs HTTP/1.1\r\nHost: {server.Address.Authority}\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n");
        var trickle = TrickleAsync(upload.GetStream(), stop.Token);
        var jobs = new List<string>();
        for (var i = 0; i < Jobs; i++)
        {
            jobs.Add((await server.Client().SubmitAsync(ClusterCalls.Picture(steps: 20), Token)).Id);
        }

        (await server.Client().StepAsync(jobs[0], 3, Token)).State.ShouldBe(JobState.Running);
        await server.SignalAsync("TERM");

        (await server.ExitAsync(TimeSpan.FromMinutes(1))).ShouldBe(0, server.Log);
        await stop.CancelAsync();
        await trickle;
        (await EndedAsync(server.Data, jobs)).ShouldBeInRange(1, 3, "what ran when the word came, and no more");
        await server.StartAsync(Token);
        var client = new MyelinClient(server.Http);
        foreach (var id in jobs)
        {
            var job = await client.WaitAsync(id, Token);
            job.State.ShouldBe(JobState.Succeeded, job.Error?.Detail + server.Log);
            job.Attempt.ShouldBe(1, server.Log);
        }
    }

    /// <summary>How many have ended, as a process that runs none of them sees it.</summary>
    private static async Task<int> EndedAsync(string data, IEnumerable<string> jobs)
    {
        await using var gateway = new ServerProcess(data, new Dictionary<string, string> { ["MYELIN_ROLES"] = "gateway" });
        await gateway.StartAsync(Token);
        var ended = 0;
        foreach (var id in jobs)
        {
            ended += (await gateway.Client().GetAsync(id, Token)).State.IsEnd() ? 1 : 0;
        }

        (await gateway.TerminateAsync(TimeSpan.FromMinutes(1))).ShouldBe(0, gateway.Log);
        return ended;
    }

    /// <summary>A blob far larger than the kernel's buffers, of which the first bytes are read.</summary>
    private static async Task<TcpClient> StandingDownloadAsync(ServerProcess server)
    {
        var picture = await File.ReadAllBytesAsync(Path.Combine(Shared.Root, "samples", "portrait.jpg"), Token);
        Array.Resize(ref picture, 20 << 20); // a decoder stops at the picture's end
        using var large = new MemoryStream(picture);
        var job = await server.Client().SubmitAsync(new JobSubmission("faces") { Files = [new JobFile("image", large, "image/jpeg")] }, Token);
        (await server.Client().WaitAsync(job.Id, Token)).State.ShouldBe(JobState.Succeeded);
        var url = (await server.Client().GetAsync(job.Id, Token)).Inputs.Single().Url!;
        var download = await ConnectAsync(server, $"GET {url} HTTP/1.1\r\nHost: {server.Address.Authority}\r\n\r\n");
        await download.GetStream().ReadExactlyAsync(new byte[100], Token);
        return download;
    }

    private static async Task<TcpClient> ConnectAsync(ServerProcess server, string head)
    {
        var client = new TcpClient { ReceiveBufferSize = 4096 };
        await client.ConnectAsync(server.Address.Host, server.Address.Port, Token);
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(head), Token);
        return client;
    }

    private static async Task TrickleAsync(NetworkStream upload, CancellationToken stop)
    {
        try
        {
            while (!stop.IsCancellationRequested)
            {
                await upload.WriteAsync("        "u8.ToArray(), stop);
                await Task.Delay(50, stop);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // Cut, as it must be in the end.
        }
    }
}
