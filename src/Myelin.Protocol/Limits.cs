namespace Myelin.Protocol;

/// <summary>Limits of the wire that are not options.</summary>
public static class Limits
{
    /// <summary>Deepest nesting of JSON; deeper is a 400.</summary>
    public const int JsonDepth = 64;

    /// <summary>Longest <c>?wait</c>.</summary>
    public static readonly TimeSpan Wait = TimeSpan.FromSeconds(60);

    /// <summary>Most items of one page.</summary>
    public const int PageSize = 100;

    /// <summary>Longest <c>key</c> and <c>Idempotency-Key</c>, in characters.</summary>
    public const int KeyLength = 200;
}
