using SQLitePCL;

namespace Myelin.Hosting.Storage.Sqlite;

/// <summary>
/// The prepared statements of one connection, told apart by their text and kept for its life. Texts are few; where one
/// is built per call after all, the statement that was used longest ago goes, so it costs time and not memory. Used by
/// one thread at a time.
/// </summary>
/// <param name="compile">Prepares a text.</param>
/// <param name="kept">Told of one more and one less.</param>
internal sealed class SqliteStatements(Func<string, sqlite3_stmt> compile, Action<int> kept) : IDisposable
{
    /// <summary>Twice the texts there are. More than any caller holds open at a time: what goes is not in use.</summary>
    public const int Most = 128;

    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    private long _uses;

    public sqlite3_stmt Get(string sql)
    {
        if (!_entries.TryGetValue(sql, out var entry))
        {
            entry = new Entry(compile(sql));
            MakeRoom();
            _entries.Add(sql, entry);
            kept(+1);
        }

        entry.UsedAt = ++_uses;
        return entry.Statement;
    }

    public IEnumerable<sqlite3_stmt> All => _entries.Values.Select(static e => e.Statement);

    public void Dispose()
    {
        foreach (var entry in _entries.Values)
        {
            entry.Statement.Dispose();
        }

        kept(-_entries.Count);
        _entries.Clear();
    }

    private void MakeRoom()
    {
        if (_entries.Count < Most)
        {
            return;
        }

        var (sql, oldest) = _entries.MinBy(e => e.Value.UsedAt);
        _entries.Remove(sql);
        oldest.Statement.Dispose();
        kept(-1);
    }

    private sealed class Entry(sqlite3_stmt statement)
    {
        public sqlite3_stmt Statement { get; } = statement;

        public long UsedAt { get; set; }
    }
}
