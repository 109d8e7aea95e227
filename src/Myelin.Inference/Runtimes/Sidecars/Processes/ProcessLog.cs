using System.Text;
using Microsoft.Extensions.Logging;

namespace Myelin.Inference.Runtimes.Sidecars.Processes;

/// <summary>
/// A process's standard output and error, line by line, to the worker's log, and the last lines for errors. A line has a
/// longest length and a second a largest number of lines, so that a sidecar that shouts fills neither memory nor disk.
/// The pipes are always emptied: a sidecar never waits for its log. Two readers write, anybody reads.
/// </summary>
internal sealed partial class ProcessLog(string model, SidecarOptions options, TimeProvider time, ILogger logger)
{
    private readonly Lock _lock = new();
    private readonly Queue<string> _tail = new();
    private long _second;
    private int _lines;
    private long _left;

    /// <summary>The last lines, oldest first.</summary>
    public IReadOnlyList<string> Tail
    {
        get
        {
            lock (_lock)
            {
                return [.. _tail];
            }
        }
    }

    /// <summary>Reads until the stream ends or the token says so.</summary>
    public async Task ReadAsync(Stream stream, CancellationToken cancellationToken)
    {
        var reader = new StreamReader(stream, new UTF8Encoding(false), false, 4096);
        var (buffer, line) = (new char[4096], new StringBuilder());
        try
        {
            while (await reader.ReadAsync(buffer, cancellationToken).ConfigureAwait(false) is > 0 and var count)
            {
                Split(buffer.AsSpan(0, count), line);
            }
        }
        catch (Exception fault) when (fault is IOException or OperationCanceledException)
        {
            // Its process is gone.
        }

        if (line.Length > 0)
        {
            Add(line);
        }
    }

    public void Add(string line)
    {
        lock (_lock)
        {
            if (_tail.Count == options.LogTail)
            {
                _tail.Dequeue();
            }

            _tail.Enqueue(line);
            if (!MayWrite())
            {
                return;
            }
        }

        LogLine(logger, model, line);
    }

    private void Split(ReadOnlySpan<char> text, StringBuilder line)
    {
        while (text.IndexOf('\n') is >= 0 and var end)
        {
            Append(line, text[..end]);
            Add(line);
            text = text[(end + 1)..];
        }

        Append(line, text);
    }

    private void Append(StringBuilder line, ReadOnlySpan<char> text)
    {
        var room = options.LogLineLength - line.Length;
        line.Append(text[..Math.Min(text.Length, Math.Max(room, 0))]);
        if (text.Length > room && room > 0)
        {
            line.Append('…');
        }
    }

    private void Add(StringBuilder line)
    {
        // Progress bars write many states of one line over each other, and colours.
        var text = line.ToString().TrimEnd('\r');
        line.Clear();
        text = text[(text.LastIndexOf('\r') + 1)..];
        Add(new string([.. text.Select(c => char.IsControl(c) && c != '\t' ? '␣' : c)]));
    }

    /// <summary>Called under the lock.</summary>
    private bool MayWrite()
    {
        var second = time.GetTimestamp() / time.TimestampFrequency;
        if (second != _second)
        {
            if (_left > 0)
            {
                LogLeft(logger, model, _left);
            }

            (_second, _lines, _left) = (second, 0, 0);
        }

        if (_lines < options.LogLinesPerSecond)
        {
            _lines++;
            return true;
        }

        _left++;
        return false;
    }

    [LoggerMessage(LogLevel.Information, "{Model}: {Line}")]
    private static partial void LogLine(ILogger logger, string model, string line);

    [LoggerMessage(LogLevel.Warning, "{Model}: {Count} lines of its log were left out: too many in a second")]
    private static partial void LogLeft(ILogger logger, string model, long count);
}
