using System.Collections.Immutable;
using Myelin.Hosting.Bus;

namespace Myelin.Jobs.OpenTopics;

/// <summary>What is said about a frame.</summary>
/// <param name="Result">A result or a problem, for the topic of results.</param>
/// <param name="Pictures">For the topic of annotated pictures; they go first.</param>
internal sealed record FrameAnswer(string Stream, FrameOutcome Outcome, BusMessage Result, ImmutableArray<BusMessage> Pictures);
