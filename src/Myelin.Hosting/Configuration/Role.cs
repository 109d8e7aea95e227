namespace Myelin.Hosting.Configuration;

/// <summary>What a process does of the whole; several together.</summary>
[Flags]
internal enum Role
{
    None = 0,

    /// <summary>The API.</summary>
    Gateway = 1,

    /// <summary>Runs jobs and networks.</summary>
    Worker = 2,

    /// <summary>Upkeep; one of several leads.</summary>
    Coordinator = 4,

    All = Gateway | Worker | Coordinator,
}
