using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol;
using Myelin.Protocol.Sidecars;
using Myelin.Sidecar.Http;
using Myelin.Testing;
using Myelin.Tests.Inference.Runtimes.Conformance;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Sidecars;

/// <summary>What may come to a sidecar's socket beside calls: too many connections, silent ones, and no handle left for them.</summary>
public sealed class AcceptTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Only the accept loop of ours: over HTTP it is Kestrel's, and a runtime that has code left to load may end without handles.</summary>
    [Fact]
    public async Task Accept_NoHandleIsLeft_GoesOnOnceThereIs()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/prlimit"), "needs prlimit of util-linux");
        using var folder = new TemporaryFolder();
        var path = folder.Combine("s");
        await using var sidecar = SidecarProcess.DotNet("unix:" + path);
        SidecarAddress.TryParse(sidecar.Address, out var address).ShouldBeTrue();
        await CallAsync(address!);

        var few = Handles(sidecar.Id) + 8;
        await LimitAsync(sidecar.Id, few);
        var sockets = new List<Socket>();
        for (var i = 0; i < 32; i++)
        {
            sockets.Add(await ConnectAsync(path)); // the kernel's queue takes it
        }

        // Those whose session finds no handle are closed again, so the last ones come and go.
        await Wait.UntilAsync(() => Handles(sidecar.Id) >= few - 4, "hardly a handle is left");
        sockets.ForEach(socket => socket.Dispose());
        await LimitAsync(sidecar.Id, 4096);

        await CallAsync(address!);
    }

    [Fact]
    public async Task Accept_MoreSilentConnectionsThanAllowed_AreClosedAndTheNextIsServed()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Combine("s");
        SidecarAddress.TryParse("http+unix:" + path, out var address).ShouldBeTrue();
        await using var listener = new HttpListener(address!, new HttpListenerOptions { MaxConnections = 4 });
        await listener.StartAsync(Token);
        var silent = new List<Socket>();
        for (var i = 0; i < 4; i++)
        {
            silent.Add(await ConnectAsync(path));
        }

        using (var beyond = await ConnectAsync(path))
        {
            (await beyond.ReceiveAsync(new byte[1], Token)).ShouldBe(0, "closed");
        }

        silent.ForEach(socket => socket.Dispose());
        await Wait.UntilAsync(async () =>
        {
            using var next = await ConnectAsync(path);
            try
            {
                await next.SendAsync("GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray(), Token);
                return await next.ReceiveAsync(new byte[64], Token) > 0;
            }
            catch (SocketException)
            {
                return false; // its ends are noticed one after the other
            }
        });
    }

    private static async Task<Socket> ConnectAsync(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), Token);
        return socket;
    }

    private static async Task CallAsync(SidecarAddress address)
    {
        var timeout = TimeSpan.FromSeconds(20);
        await using var runtime = await UdsRuntime.ConnectAsync(new UdsOptions { SocketPath = address.Path!, Model = "double", ConnectTimeout = timeout, ReadyTimeout = timeout }, Token);
        using var x = Tensor.Of<float>("x", ElementType.Float32, [1, 2], 2);
        using var outputs = await runtime.InferAsync([x], null, Token);
        outputs["y"].As<float>().ToArray().ShouldBe([2, 4]);
    }

    private static int Handles(int process) => Directory.GetFileSystemEntries($"/proc/{process}/fd").Length;

    private static async Task LimitAsync(int process, int handles)
    {
        using var prlimit = Process.Start("/usr/bin/prlimit", ["--pid", process.ToString(CultureInfo.InvariantCulture), string.Create(CultureInfo.InvariantCulture, $"--nofile={handles}:")]);
        await prlimit.WaitForExitAsync(Token);
        prlimit.ExitCode.ShouldBe(0);
    }
}
