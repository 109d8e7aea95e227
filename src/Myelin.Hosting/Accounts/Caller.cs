namespace Myelin.Hosting.Accounts;

/// <summary>Who asks: on every request, as a feature. Jobs belong to the tenant; other tenants' jobs do not exist for it.</summary>
/// <param name="KeyId">Null for the anonymous caller.</param>
internal sealed record Caller(string Tenant, Scopes Scopes, string? KeyId)
{
    public const string LocalTenant = "local";

    /// <summary>Whether its jobs may go before those of others: <c>priority: high</c>.</summary>
    public bool MayGoFirst => (Scopes & (Scopes.Priority | Scopes.Operate)) != 0;

    /// <summary>Nobody named: on loopback without keys, and with --insecure.</summary>
    public static readonly Caller Anonymous = new(LocalTenant, Scopes.Admin, KeyId: null);

    /// <summary>Who shows <c>telemetry.metricsKey</c>.</summary>
    public static readonly Caller Watcher = new("", Scopes.Metrics, KeyId: null);

    /// <summary>Nobody named where a key is asked for: reaches only what is open to all.</summary>
    public static readonly Caller Unknown = new("", Scopes.None, KeyId: null);
}

internal static class CallerFeature
{
    public static Caller Caller(this HttpContext context) => context.Features.Get<Caller>() ?? Accounts.Caller.Unknown;
}
