using System.Net.Sockets;
using System.Text;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Gateway;

public sealed class SlowUploadTests
{
    /// <summary>A sender of a few bytes a second would hold its place in the memory of bodies for hours.</summary>
    [Fact]
    public async Task Submit_BodyTrickles_IsEndedWith408()
    {
        await using var server = await RunningServer.StartAsync(worker: false);
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        var address = server.Http.BaseAddress!;
        await socket.ConnectAsync(address.Host, address.Port, TestContext.Current.CancellationToken);
        await socket.SendAsync(Encoding.ASCII.GetBytes(
            $"POST /v1/jobs HTTP/1.1\r\nHost: {address.Authority}\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n{{"));

        using var late = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        late.CancelAfter(TimeSpan.FromSeconds(40));
        var trickle = Task.Run(
            async () =>
            {
                while (true)
                {
                    await Task.Delay(500, late.Token);
                    await socket.SendAsync(" "u8.ToArray(), late.Token);
                }
            },
            CancellationToken.None);
        var answer = new byte[4096];
        var read = await socket.ReceiveAsync(answer, late.Token);

        Encoding.ASCII.GetString(answer, 0, read).ShouldStartWith("HTTP/1.1 408");
        await late.CancelAsync();
        await Should.ThrowAsync<Exception>(trickle);
    }
}
