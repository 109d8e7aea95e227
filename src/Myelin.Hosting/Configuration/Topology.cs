namespace Myelin.Hosting.Configuration;

/// <summary>How the installation is built, by what its settings name; the same for all of its processes.</summary>
internal enum Topology
{
    /// <summary>One process owns its data: SQLite, blobs beside it. Whatever it finds there is its own; Kafka may bring it work from outside.</summary>
    Alone,

    /// <summary>Processes over one PostgreSQL, which also carries their messages.</summary>
    SharedDatabase,

    /// <summary>Processes over one PostgreSQL, with Kafka between them.</summary>
    Cluster,
}

internal static class Topologies
{
    /// <summary>Whether other processes work on the same database.</summary>
    public static bool IsShared(this IServiceProvider provider) => provider.GetRequiredService<MyelinOptions>().Topology != Topology.Alone;
}
