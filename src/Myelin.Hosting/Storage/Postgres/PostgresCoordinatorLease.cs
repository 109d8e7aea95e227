using System.Globalization;
using System.Security.Cryptography;
using Npgsql;

namespace Myelin.Hosting.Storage.Postgres;

/// <summary>
/// A row with an owner, an expiry by the database's clock, and a fence that rises with every change of owner. Kept by
/// asking again before a third of its time is over; in between this process believes it has it, and where that is wrong
/// the fence in every write of upkeep says so. Used by one caller at a time.
/// </summary>
internal sealed class PostgresCoordinatorLease(PostgresPool pool, TimeSpan duration, TimeProvider time) : ICoordinatorLease
{
    public const string Name = "coordinator";

    private readonly string _owner =
        string.Create(CultureInfo.InvariantCulture, $"{Environment.MachineName}/{Environment.ProcessId}/{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8))}");

    private long _askedAt;
    private bool _held;
    private long _fence;

    public bool IsAlone => false;

    public TimeSpan Remaining => _held && duration - time.GetElapsedTime(_askedAt) is var left && left > TimeSpan.Zero ? left : TimeSpan.Zero;

    /// <summary>Of the newest hold; 0 before the first.</summary>
    public long Fence => Volatile.Read(ref _fence);

    public async ValueTask<CoordinatorHold> HoldAsync(CancellationToken cancellationToken)
    {
        if (_held && time.GetElapsedTime(_askedAt) < duration / 3)
        {
            return CoordinatorHold.Kept;
        }

        var asked = time.GetTimestamp();
        if (await AskAsync(cancellationToken) is not { } fence)
        {
            _held = false;
            return CoordinatorHold.Elsewhere;
        }

        var hold = _held && fence == Fence ? CoordinatorHold.Kept : CoordinatorHold.Taken;
        (_held, _askedAt) = (true, asked);
        Volatile.Write(ref _fence, fence);
        return hold;
    }

    public async ValueTask ReleaseAsync(CancellationToken cancellationToken)
    {
        if (!_held)
        {
            return;
        }

        _held = false;
        await pool.ExecuteAsync(
            Repeat.Harmless,
            "UPDATE leases SET expires_at = clock_timestamp() WHERE name = $1 AND owner = $2",
            p =>
            {
                p.AddText(Name);
                p.AddText(_owner);
            },
            cancellationToken);
    }

    /// <summary>The fence, or null while another process has it.</summary>
    private async Task<long?> AskAsync(CancellationToken cancellationToken)
    {
        var fence = await pool.QueryAsync(
            Repeat.Harmless,
            """
            INSERT INTO leases AS l (name, owner, fence, expires_at) VALUES ($1, $2, 1, clock_timestamp() + $3)
            ON CONFLICT (name) DO UPDATE SET
              owner = excluded.owner, fence = l.fence + CASE WHEN l.owner = excluded.owner THEN 0 ELSE 1 END, expires_at = clock_timestamp() + $3
            WHERE l.owner = excluded.owner OR l.expires_at <= clock_timestamp()
            RETURNING fence
            """,
            p =>
            {
                p.AddText(Name);
                p.AddText(_owner);
                p.Add(new NpgsqlParameter<TimeSpan> { TypedValue = duration });
            },
            static row => (long?)row.GetInt64(0),
            cancellationToken);
        return fence.FirstOrDefault();
    }
}
