using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace Myelin.Hosting.Bus;

/// <summary>The queue of one subscriber.</summary>
internal sealed class BusMember
{
    /// <summary>Messages that wait for one subscriber; then its publishers wait.</summary>
    public const int QueueLength = 4096;

    private readonly Channel<BusMessage> _queue = Channel.CreateBounded<BusMessage>(
        new BoundedChannelOptions(QueueLength) { FullMode = BoundedChannelFullMode.Wait });

    public CancellationTokenRegistration Registration { get; set; }

    public bool TryOffer(BusMessage message) => _queue.Writer.TryWrite(message);

    /// <summary>False once the member has left.</summary>
    public async ValueTask<bool> OfferAsync(BusMessage message, CancellationToken cancellationToken)
    {
        while (!_queue.Writer.TryWrite(message))
        {
            if (!await _queue.Writer.WaitToWriteAsync(cancellationToken))
            {
                return false;
            }
        }

        return true;
    }

    public void Close() => _queue.Writer.TryComplete();

    public IEnumerable<BusMessage> Unread()
    {
        while (_queue.Reader.TryRead(out var message))
        {
            yield return message;
        }
    }

    public async IAsyncEnumerable<BusMessage> ReadAsync(Action leave, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        try
        {
            await foreach (var message in _queue.Reader.ReadAllAsync(cancellationToken))
            {
                yield return message;
            }
        }
        finally
        {
            await Registration.DisposeAsync();
            leave();
        }
    }
}
