using System.Collections.Immutable;
using Myelin.Hosting.Storage.Postgres;

namespace Myelin.Jobs.Store.Postgres;

/// <summary>Lists of jobs and their places in line. What a page costs depends on neither history nor queue.</summary>
internal sealed partial class PostgresJobStore
{
    /// <summary>Above every id.</summary>
    private const string Newest = "~";

    private static readonly ImmutableArray<JobState> s_states = [.. Enum.GetValues<JobState>()];

    /// <summary>
    /// The newest of each state, of them the newest. A state is said as the two ends of a range: with an equality the order
    /// by id is the same as that of the index meant, and the planner may walk through everybody's jobs by id.
    /// </summary>
    internal static readonly string ListAll = List("");

    /// <inheritdoc cref="ListAll"/>
    internal static readonly string ListOfModel = List("AND model = $5");

    /// <summary>Both ends of each line. A range for the same reason: by <c>seq</c> alone the planner may walk through the history.</summary>
    internal const string Ends =
        """
        SELECT l.place, true AS front, j.seq FROM unnest($1, $2) WITH ORDINALITY AS l(model, priority, place)
        CROSS JOIN LATERAL (SELECT seq FROM jobs WHERE state = 0 AND model = l.model AND priority BETWEEN l.priority AND l.priority ORDER BY priority, seq LIMIT $3) j
        UNION ALL
        SELECT l.place, false, j.seq FROM unnest($1, $2) WITH ORDINALITY AS l(model, priority, place)
        CROSS JOIN LATERAL (SELECT seq FROM jobs WHERE state = 0 AND model = l.model AND priority BETWEEN l.priority AND l.priority ORDER BY priority DESC, seq DESC LIMIT $3) j
        """;

    public async ValueTask<ImmutableArray<JobRecord>> ListAsync(JobFilter filter, string? before, int limit, CancellationToken cancellationToken)
    {
        if (filter.Model?.Contains('\0', StringComparison.Ordinal) == true)
        {
            return []; // PostgreSQL keeps no such text, so nothing has that name
        }

        var jobs = await ReadJobsAsync(
            filter.Model is null ? ListAll : ListOfModel,
            p =>
            {
                p.AddInteger(limit);
                p.AddText(filter.Tenant);
                p.AddText(before ?? Newest);
                p.AddShorts(filter.State is { } state ? [state] : s_states, s => (short)s);
                if (filter.Model is { } model)
                {
                    p.AddText(model);
                }
            },
            cancellationToken);
        return [.. jobs];
    }

    public async ValueTask<IReadOnlyDictionary<string, int>> PositionsAsync(IReadOnlyCollection<JobRecord> jobs, CancellationToken cancellationToken)
    {
        var positions = new Dictionary<string, int>(StringComparer.Ordinal);
        var lines = jobs.GroupBy(j => (j.Model, j.Priority)).ToList();
        if (lines.Count == 0)
        {
            return positions;
        }

        var window = QueuePositions.Window(lines.Count);
        var ends = (await Pool.QueryAsync(
            Repeat.Harmless,
            Ends,
            p =>
            {
                p.AddTexts(lines, l => l.Key.Model);
                p.AddShorts(lines, l => (short)l.Key.Priority);
                p.AddInteger(window);
            },
            static row => (Line: (int)row.GetInt64(0), Front: row.GetBoolean(1), Sequence: row.GetInt64(2)),
            cancellationToken)).ToLookup(e => (e.Line, e.Front), e => e.Sequence);
        foreach (var (line, i) in lines.Select((l, i) => (l, i + 1)))
        {
            var (model, priority) = line.Key;
            List<long> front = [.. ends[(i, true)].Order()], back = [.. ends[(i, false)].OrderDescending()];
            foreach (var job in line)
            {
                positions[job.Id] = _depths.Better(model, priority) + QueuePositions.Of(job.Sequence, front, back, window, _depths.Of(model, priority));
            }
        }

        return positions;
    }

    public async ValueTask<int> CountQueuedAsync(string tenant, string model, int most, CancellationToken cancellationToken) => (await Pool.QueryAsync(
        Repeat.Harmless,
        "SELECT count(*)::integer FROM (SELECT 1 FROM jobs WHERE tenant = $1 AND model = $2 AND (state, id) <= (0, '~') LIMIT $3) own",
        p =>
        {
            p.AddText(tenant);
            p.AddText(model);
            p.AddInteger(most);
        },
        static row => row.GetInt32(0),
        cancellationToken))[0];

    private static string List(string model) =>
        $"""
        SELECT {JobColumns.Light} FROM (
          SELECT n.seq AS place FROM unnest($4) AS s(state)
          CROSS JOIN LATERAL (
            SELECT seq, id FROM jobs WHERE tenant = $2 {model} AND (state, id) < (s.state, $3) AND state >= s.state
            ORDER BY state DESC, id DESC LIMIT $1) n
          ORDER BY n.id DESC LIMIT $1) p
        JOIN jobs ON seq = p.place ORDER BY id DESC
        """;
}
