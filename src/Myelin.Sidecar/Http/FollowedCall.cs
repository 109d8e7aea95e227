using System.Threading.Channels;
using Myelin.Inference.Runtimes;

namespace Myelin.Sidecar.Http;

/// <summary>One call with a name: what it reports waits here for its follower; the oldest is dropped where that one is slow.</summary>
internal sealed class FollowedCall
{
    private const int MaxWaiting = 64;

    private readonly Channel<RuntimeProgress> _reports =
        Channel.CreateBounded<RuntimeProgress>(new BoundedChannelOptions(MaxWaiting) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });

    private bool _followed;

    public bool Begun { get; private set; }

    public ChannelReader<RuntimeProgress> Reports => _reports.Reader;

    /// <summary>Called under the lock of <see cref="CallFollowers"/>, as is <see cref="TryFollow"/>.</summary>
    public bool TryBegin() => !Begun && (Begun = true);

    public bool TryFollow() => !_followed && (_followed = true);

    public void Report(RuntimeProgress progress) => _reports.Writer.TryWrite(progress);

    public void End() => _reports.Writer.TryComplete();
}
