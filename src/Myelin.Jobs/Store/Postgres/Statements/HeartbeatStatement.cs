using System.Collections.Immutable;
using Myelin.Hosting.Storage.Postgres;
using Npgsql;

namespace Myelin.Jobs.Store.Postgres.Statements;

/// <summary>All leases of one worker. Sending it twice does the same.</summary>
internal sealed class HeartbeatWrite(IReadOnlyCollection<(string Id, string Token)> leases, DateTimeOffset until, CancellationToken cancellationToken)
    : PostgresWrite<HeartbeatResult>(HeartbeatStatement.Instance, "", cancellationToken)
{
    public IReadOnlyList<(string Id, string Token)> Leases { get; } = [.. leases.OrderBy(l => l.Id, StringComparer.Ordinal)];

    public DateTimeOffset Until { get; } = until;
}

/// <summary>Extends leases; one beat of a process per batch.</summary>
internal sealed class HeartbeatStatement : PostgresStatement
{
    public static readonly HeartbeatStatement Instance = new();

    private const string Update =
        """
        UPDATE jobs j SET lease_until = $3 FROM unnest($1, $2) AS a(id, token)
        WHERE j.id = a.id AND j.state = 1 AND j.lease_token = a.token
        RETURNING j.id, j.lease_token, j.cancel_requested
        """;

    public override int Order => 40;

    public override void Send(NpgsqlBatch batch, IReadOnlyList<PostgresWrite> writes, int slot)
    {
        foreach (var write in writes.Cast<HeartbeatWrite>())
        {
            Add(batch, Update, p =>
            {
                p.AddTexts(write.Leases, l => l.Id);
                p.AddTexts(write.Leases, l => l.Token);
                p.AddTime(write.Until);
            });
        }
    }

    public override async Task ReadAsync(NpgsqlDataReader reader, IReadOnlyList<PostgresWrite> writes, CancellationToken cancellationToken)
    {
        foreach (var write in writes.Cast<HeartbeatWrite>())
        {
            var lost = write.Leases.ToHashSet();
            var cancelled = ImmutableArray.CreateBuilder<string>();
            while (await reader.ReadAsync(cancellationToken))
            {
                lost.Remove((reader.GetString(0), reader.GetString(1)));
                if (reader.GetBoolean(2))
                {
                    cancelled.Add(reader.GetString(0));
                }
            }

            await reader.NextResultAsync(cancellationToken);
            write.Result = new HeartbeatResult([.. lost.Select(l => l.Id)], cancelled.DrainToImmutable());
        }
    }
}
