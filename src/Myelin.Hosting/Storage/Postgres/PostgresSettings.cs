namespace Myelin.Hosting.Storage.Postgres;

/// <param name="Connection">An Npgsql connection string; holds the password, so it is never shown.</param>
/// <param name="Connections">Connections beside the writer's own.</param>
/// <param name="Patience">How long a call waits for a database that went away.</param>
/// <param name="StartTimeout">How long the start waits for a database that is not there yet.</param>
internal sealed record PostgresSettings(string Connection, int Connections, TimeSpan Patience, TimeSpan StartTimeout)
{
    public override string ToString() => $"PostgreSQL, {Connections} connections";
}
