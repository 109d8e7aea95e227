namespace Myelin.Hosting.Work;

/// <summary>A lease as it stands.</summary>
/// <param name="Until">A value that every beat changes.</param>
/// <param name="Duration">How long its holder may be silent; null where an older version claimed.</param>
internal sealed record HeldLease(string Id, string Token, DateTimeOffset Until, TimeSpan? Duration);
