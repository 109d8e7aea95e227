namespace Myelin.Hosting.Storage.Postgres;

/// <summary>What a process gives its storage.</summary>
/// <param name="Time">Patience and intervals.</param>
/// <param name="Clock">Set from the database's clock.</param>
internal sealed record PostgresContext(TimeProvider Time, SharedClock Clock, StorageInstruments Instruments, ILogger Logger);
