namespace Myelin.Hosting.Storage.Postgres;

/// <summary>
/// The time that all processes on one database share: this machine's clock, corrected by how far it is off the
/// database's. Leases, deadlines and back-offs written by one machine are judged by another, so a clock that is wrong by
/// a minute must not matter. Timers and timestamps are the machine's own. Any thread.
/// </summary>
internal sealed class SharedClock(TimeProvider machine) : TimeProvider
{
    /// <summary>Corrections smaller than this are noise of the measurement.</summary>
    private static readonly TimeSpan s_noise = TimeSpan.FromMilliseconds(5);

    private long _offset;

    /// <summary>What is added to the machine's clock.</summary>
    public TimeSpan Offset => TimeSpan.FromTicks(Volatile.Read(ref _offset));

    public override long TimestampFrequency => machine.TimestampFrequency;

    public override TimeZoneInfo LocalTimeZone => machine.LocalTimeZone;

    public override DateTimeOffset GetUtcNow() => machine.GetUtcNow() + Offset;

    public override long GetTimestamp() => machine.GetTimestamp();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => machine.CreateTimer(callback, state, dueTime, period);

    /// <summary>Takes note of one reading of the database's clock, just answered.</summary>
    /// <param name="database">What it showed.</param>
    /// <param name="roundTrip">From the question to the answer; half of it lies before the reading.</param>
    public void Observe(DateTimeOffset database, TimeSpan roundTrip)
    {
        var offset = database + (roundTrip / 2) - machine.GetUtcNow();
        if ((offset - Offset).Duration() > s_noise + roundTrip)
        {
            Volatile.Write(ref _offset, offset.Ticks);
        }
    }
}
