using Myelin.Hosting.Storage.Postgres;
using Npgsql;

namespace Myelin.Jobs.Store.Postgres.Statements;

internal sealed class ProgressWrite(string id, string token, JobProgress progress, long eventId, CancellationToken cancellationToken)
    : PostgresWrite<bool>(ProgressStatement.Instance, id, cancellationToken)
{
    public string Token { get; } = token;

    public byte[] Progress { get; } = JobColumns.Json(progress, JsonContext.Default.JobProgress);

    public long EventId { get; } = eventId;
}

/// <summary>Progress of running attempts; only ever forward.</summary>
internal sealed class ProgressStatement : PostgresStatement
{
    public static readonly ProgressStatement Instance = new();

    private const string Update =
        """
        UPDATE jobs j SET progress = a.progress, event_id = a.event_id
        FROM unnest($1, $2, $3, $4) AS a(id, token, progress, event_id)
        WHERE j.id = a.id AND j.state = 1 AND j.lease_token = a.token AND j.event_id < a.event_id
        RETURNING j.id
        """;

    public override int Order => 20;

    public override void Send(NpgsqlBatch batch, IReadOnlyList<PostgresWrite> writes, int slot)
    {
        var rows = writes.Cast<ProgressWrite>().ToList();
        Add(batch, Update, p =>
        {
            p.AddTexts(rows, r => r.Job);
            p.AddTexts(rows, r => r.Token);
            p.AddBytes(rows, r => r.Progress);
            p.AddLongs(rows, r => r.EventId);
        });
    }

    public override async Task ReadAsync(NpgsqlDataReader reader, IReadOnlyList<PostgresWrite> writes, CancellationToken cancellationToken)
    {
        var stored = new HashSet<string>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellationToken))
        {
            stored.Add(reader.GetString(0));
        }

        await reader.NextResultAsync(cancellationToken);
        foreach (var write in writes.Cast<ProgressWrite>())
        {
            write.Result = stored.Contains(write.Job);
        }
    }
}
