using System.Diagnostics;
using System.Net.Sockets;

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

    /// <summary>
    /// Sends once over each of <paramref name="clients"/> connections, all at the same moment, from one thread that
    /// blocks: a client of a few microseconds a request, so that what is measured is the server. Each answer is read in
    /// the order of the sockets, so its latency is an upper bound.
    /// </summary>
    public async Task<LoadResult> BurstAsync(int clients)
    {
        var sockets = new Socket[clients];
        for (var i = 0; i < clients; i++)
        {
            sockets[i] = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await sockets[i].ConnectAsync(server.Host, server.Port);
        }

        return await Task.Factory.StartNew(() => Burst(sockets), TaskCreationOptions.LongRunning);
    }

    private LoadResult Burst(Socket[] sockets)
    {
        var clock = Stopwatch.StartNew();
        var sent = new TimeSpan[sockets.Length];
        for (var i = 0; i < sockets.Length; i++)
        {
            sent[i] = clock.Elapsed;
            sockets[i].Send(request);
        }

        var latencies = new double[sockets.Length];
        var statuses = new Dictionary<int, int>();
        var buffer = new byte[8192];
        for (var i = 0; i < sockets.Length; i++)
        {
            using var socket = sockets[i];
            var have = 0;
            int status;
            do
            {
                have += socket.Receive(buffer.AsSpan(have));
            }
            while (!TryParse(buffer.AsSpan(0, have), out status));
            latencies[i] = (clock.Elapsed - sent[i]).TotalMilliseconds;
            statuses[status] = statuses.GetValueOrDefault(status) + 1;
        }

        Array.Sort(latencies);
        return new LoadResult(latencies, statuses, clock.Elapsed);
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
            if (TryParse(buffer.AsSpan(0, have), out var status))
            {
                return status;
            }
        }
    }

    /// <summary>False until the whole answer is there.</summary>
    private static bool TryParse(ReadOnlySpan<byte> answer, out int status)
    {
        var head = answer.IndexOf("\r\n\r\n"u8);
        status = head < 0 ? 0 : int.Parse(answer.Slice(9, 3), System.Globalization.CultureInfo.InvariantCulture);
        return head >= 0 && Complete(answer, head);
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
    /// <summary>Rounds as one: what a percentile of rare answers needs.</summary>
    public static LoadResult Join(IReadOnlyList<LoadResult> rounds) => new(
        [.. rounds.SelectMany(r => r.Latencies).Order()],
        rounds.SelectMany(r => r.Statuses).GroupBy(s => s.Key).ToDictionary(g => g.Key, g => g.Sum(s => s.Value)),
        TimeSpan.FromTicks(rounds.Sum(r => r.Elapsed.Ticks)));

    public double PerSecond => Latencies.Length / Elapsed.TotalSeconds;

    public double Percentile(double share) => Percentile(Latencies, share);

    public static double Percentile(double[] sorted, double share) => sorted[(int)Math.Min(sorted.Length - 1, sorted.Length * share)];
}
