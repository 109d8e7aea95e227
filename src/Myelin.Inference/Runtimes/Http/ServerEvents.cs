using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;

namespace Myelin.Inference.Runtimes.Http;

/// <summary>Reads server-sent events of one name off a stream, none larger than a limit.</summary>
internal static class ServerEvents
{
    private const int MaxEventBytes = 128 << 10; // a preview of 64 KiB in base64, and its numbers

    /// <returns>The data of each event; valid until the next is asked for.</returns>
    /// <exception cref="FormatException">An event goes over the limit.</exception>
    public static async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadAsync(
        Stream stream, string name, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var wanted = System.Text.Encoding.UTF8.GetBytes(name);
        var reader = PipeReader.Create(stream);
        var data = new ArrayBufferWriter<byte>();
        var matches = false;
        while (true)
        {
            var result = await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            var rest = result.Buffer;
            while (TryReadLine(ref rest, out var line))
            {
                if (line.Length == 0)
                {
                    if (matches && data.WrittenCount > 0)
                    {
                        yield return data.WrittenMemory;
                    }

                    matches = false;
                    data.ResetWrittenCount();
                }
                else if (Value(line, "event:"u8) is { } value)
                {
                    matches = value.AsSpan().SequenceEqual(wanted);
                }
                else if (Value(line, "data:"u8) is { } more)
                {
                    data.Write(more);
                }
            }

            if (rest.Length + data.WrittenCount > MaxEventBytes)
            {
                throw new FormatException($"an event has more than {MaxEventBytes} bytes");
            }

            reader.AdvanceTo(rest.Start, rest.End);
            if (result.IsCompleted)
            {
                yield break;
            }
        }
    }

    private static bool TryReadLine(ref ReadOnlySequence<byte> rest, out byte[] line)
    {
        line = [];
        var reader = new SequenceReader<byte>(rest);
        if (!reader.TryReadTo(out ReadOnlySequence<byte> found, (byte)'\n'))
        {
            return false;
        }

        line = found.ToArray();
        line = line is [.., (byte)'\r'] ? line[..^1] : line;
        rest = rest.Slice(reader.Position);
        return true;
    }

    private static byte[]? Value(byte[] line, ReadOnlySpan<byte> field) =>
        line.AsSpan().StartsWith(field) ? line.AsSpan(field.Length).TrimStart((byte)' ').ToArray() : null;
}
