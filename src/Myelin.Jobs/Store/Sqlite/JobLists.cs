using System.Collections.Immutable;
using Myelin.Hosting.Storage.Sqlite;

namespace Myelin.Jobs.Store.Sqlite;

/// <summary>Lists of jobs and their places in line. What a page costs depends on neither history nor queue.</summary>
internal static class JobLists
{
    private const string Tail = "AND id < ?2 ORDER BY id DESC LIMIT ?5";

    /// <summary>Above every id.</summary>
    private const string Newest = "~";

    private static readonly string s_byState = One("jobs_tenant_state", "");
    private static readonly string s_byModelAndState = One("jobs_tenant_model", "AND model = ?3");
    private static readonly string s_all = Merged("jobs_tenant_state", "");
    private static readonly string s_byModel = Merged("jobs_tenant_model", "AND model = ?3");

    public static ImmutableArray<JobRecord> List(SqliteSession session, JobFilter filter, string? before, int limit)
    {
        using var rows = session.Prepare((filter.Model, filter.State) switch
        {
            (null, null) => s_all,
            (null, _) => s_byState,
            (_, null) => s_byModel,
            _ => s_byModelAndState,
        });
        rows.Bind(1, filter.Tenant);
        rows.Bind(2, before ?? Newest);
        if (filter.Model is { } model)
        {
            rows.Bind(3, model);
        }

        if (filter.State is { } state)
        {
            rows.Bind(4, (int)state);
        }

        rows.Bind(5, limit);
        var jobs = ImmutableArray.CreateBuilder<JobRecord>();
        while (rows.Step())
        {
            jobs.Add(JobRow.Read(rows));
        }

        return jobs.DrainToImmutable();
    }

    public static IReadOnlyDictionary<string, int> Positions(SqliteSession session, IReadOnlyCollection<JobRecord> jobs, QueueDepths depths)
    {
        var positions = new Dictionary<string, int>(StringComparer.Ordinal);
        var lines = jobs.GroupBy(j => (j.Model, j.Priority)).ToList();
        var window = QueuePositions.Window(lines.Count);
        foreach (var line in lines)
        {
            var (model, priority) = line.Key;
            var front = Ends(session, "SELECT seq FROM jobs INDEXED BY jobs_queued WHERE state = 0 AND model = ?1 AND priority = ?2 ORDER BY seq LIMIT ?3");
            var back = Ends(session, "SELECT seq FROM jobs INDEXED BY jobs_queued WHERE state = 0 AND model = ?1 AND priority = ?2 ORDER BY seq DESC LIMIT ?3");
            foreach (var job in line)
            {
                positions[job.Id] = depths.Better(model, priority) + QueuePositions.Of(job.Sequence, front, back, window, depths.Of(model, priority));
            }

            List<long> Ends(SqliteSession session, string sql)
            {
                using var rows = session.Prepare(sql);
                rows.Bind(1, model);
                rows.Bind(2, (int)priority);
                rows.Bind(3, window);
                var sequences = new List<long>();
                while (rows.Step())
                {
                    sequences.Add(rows.Int64(0));
                }

                return sequences;
            }
        }

        return positions;
    }

    private static string One(string index, string model) =>
        $"SELECT {JobColumns.Light} FROM jobs INDEXED BY {index} WHERE tenant = ?1 {model} AND state = ?4 {Tail}";

    /// <summary>The newest of each state, of them the newest: one statement, so that a job that changes its state is there once.</summary>
    private static string Merged(string index, string model)
    {
        var each = Enum.GetValues<JobState>().Select(state =>
            $"SELECT * FROM (SELECT seq, id FROM jobs INDEXED BY {index} WHERE tenant = ?1 {model} AND state = {(int)state} {Tail})");
        return $"SELECT {JobColumns.Light} FROM jobs WHERE seq IN (SELECT seq FROM ({string.Join(" UNION ALL ", each)}) ORDER BY id DESC LIMIT ?5) ORDER BY id DESC";
    }
}
