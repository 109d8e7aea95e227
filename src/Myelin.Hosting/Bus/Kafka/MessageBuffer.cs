using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace Myelin.Hosting.Bus.Kafka;

/// <summary>
/// Between the thread that polls Kafka and the reader of a subscription. The poller looks at <see cref="IsFull"/> before
/// it reads on; a partition that went away takes its unread messages with it.
/// </summary>
internal sealed class MessageBuffer
{
    private const int Messages = 1024;
    private const long Bytes = 32 << 20;

    private readonly Channel<(BusMessage Message, OffsetLedger? Ledger)> _queue =
        Channel.CreateUnbounded<(BusMessage, OffsetLedger?)>(new UnboundedChannelOptions { SingleWriter = true });

    private int _count;
    private long _bytes;

    /// <summary>No further message should be read.</summary>
    public bool IsFull => Volatile.Read(ref _count) >= Messages || Interlocked.Read(ref _bytes) >= Bytes;

    /// <summary>Enough was taken to go on.</summary>
    public bool HasRoom => Volatile.Read(ref _count) <= Messages / 2 && Interlocked.Read(ref _bytes) <= Bytes / 2;

    public void Add(BusMessage message, OffsetLedger? ledger)
    {
        Interlocked.Increment(ref _count);
        Interlocked.Add(ref _bytes, message.Payload.Length);
        _queue.Writer.TryWrite((message, ledger));
    }

    public void Complete() => _queue.Writer.TryComplete();

    public async IAsyncEnumerable<BusMessage> ReadAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var (message, ledger) in _queue.Reader.ReadAllAsync(cancellationToken))
        {
            Interlocked.Decrement(ref _count);
            Interlocked.Add(ref _bytes, -message.Payload.Length);
            if (ledger is not { IsClosed: true })
            {
                yield return message;
            }
        }
    }
}
