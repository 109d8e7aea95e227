using Xunit;

namespace Myelin.EndToEnd.Distributed;

/// <summary>Tests that start ten processes and engines: one after the other, and not beside others.</summary>
[CollectionDefinition(nameof(WholeMachine), DisableParallelization = true)]
public sealed class WholeMachine;
