using System.Diagnostics;
using System.Net.Sockets;
using System.Text;

namespace Myelin.Benchmarks;

/// <summary>
/// Keep-alive HTTP/1.1 connections that send one prepared request again and again. Parses only the status and the
/// content length, so that the two cores are the server's as far as possible.
/// </summary>
internal sealed class HttpLoad(Uri server, byte[] request)
{
    /// <summary>Sends for <paramref name="duration"/> over <paramref name="clients"/> connections.</summary>
    public async Task<LoadResult> RunAsync(int clients, TimeSpan duration)
    {
        var clock = Stopwatch.StartNew();
        var results = await Task.WhenAll(Enumerable.Range(0, clients).Select(_ => Task.Run(() => ConnectionAsync(clock, duration))));
        var elapsed = clock.Elapsed;
        var latencies = results.SelectMany(r => r.Latencies).Order().ToArray();
        var statuses = results.SelectMany(r => r.Statuses).GroupBy(s => s.Key).ToDictionary(g => g.Key, g => g.Sum(s => s.Value));
        return new LoadResult(latencies, statuses, elapsed);
    }

    /// <summary>Sends once over each of <paramref name="clients"/> connections, all at the same moment.</summary>
    public async Task<LoadResult> BurstAsync(int clients)
    {
        var sockets = new Socket[clients];
        for (var i = 0; i < clients; i++)
        {
            sockets[i] = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await sockets[i].ConnectAsync(server.Host, server.Port);
        }

        var clock = Stopwatch.StartNew();
        var results = await Task.WhenAll(sockets.Select(socket => Task.Run(async () =>
        {
            using (socket)
            {
                var buffer = new byte[8192];
                var start = Stopwatch.GetTimestamp();
                await socket.SendAsync(request);
                var status = await ReceiveAsync(socket, buffer);
                return (Latency: Stopwatch.GetElapsedTime(start).TotalMilliseconds, Status: status);
            }
        })));
        return new LoadResult(
            [.. results.Select(r => r.Latency).Order()], results.GroupBy(r => r.Status).ToDictionary(g => g.Key, g => g.Count()), clock.Elapsed);
    }

    private async Task<(List<double> Latencies, Dictionary<int, int> Statuses)> ConnectionAsync(Stopwatch clock, TimeSpan duration)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(server.Host, server.Port);
        var buffer = new byte[64 * 1024];
        var latencies = new List<double>(4096);
        var statuses = new Dictionary<int, int>();
        while (clock.Elapsed < duration)
        {
            var start = Stopwatch.GetTimestamp();
            await socket.SendAsync(request);
            var status = await ReceiveAsync(socket, buffer);
            latencies.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            statuses[status] = statuses.GetValueOrDefault(status) + 1;
        }

        return (latencies, statuses);
    }

    private static async Task<int> ReceiveAsync(Socket socket, byte[] buffer)
    {
        var have = 0;
        while (true)
        {
            var read = await socket.ReceiveAsync(buffer.AsMemory(have));
            if (read == 0)
            {
                throw new IOException("the server closed the connection");
            }

            have += read;
            var head = buffer.AsSpan(0, have).IndexOf("\r\n\r\n"u8);
            if (head < 0)
            {
                continue;
            }

            var status = int.Parse(Encoding.ASCII.GetString(buffer, 9, 3), System.Globalization.CultureInfo.InvariantCulture);
            if (Complete(buffer.AsSpan(0, have), head))
            {
                return status;
            }
        }
    }

    /// <summary>True when the whole body is there, by content length or by the last chunk.</summary>
    private static bool Complete(ReadOnlySpan<byte> answer, int head)
    {
        var mark = answer[..head].IndexOf("Content-Length: "u8);
        if (mark < 0)
        {
            return answer.EndsWith("0\r\n\r\n"u8);
        }

        var digits = answer[(mark + 16)..];
        _ = System.Buffers.Text.Utf8Parser.TryParse(digits, out int length, out _);
        return answer.Length >= head + 4 + length;
    }
}

/// <param name="Latencies">Milliseconds, ascending.</param>
internal sealed record LoadResult(double[] Latencies, Dictionary<int, int> Statuses, TimeSpan Elapsed)
{
    public double PerSecond => Latencies.Length / Elapsed.TotalSeconds;

    public double Percentile(double share) => Latencies[(int)Math.Min(Latencies.Length - 1, Latencies.Length * share)];
}
