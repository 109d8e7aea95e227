namespace Myelin.Hosting.Accounts;

/// <summary>Where API keys are kept.</summary>
internal interface IKeyStore
{
    ValueTask AddAsync(ApiKey key, CancellationToken cancellationToken);

    ValueTask<ApiKey?> FindAsync(string id, CancellationToken cancellationToken);

    /// <summary>Oldest first, revoked ones too.</summary>
    ValueTask<IReadOnlyList<ApiKey>> ListAsync(CancellationToken cancellationToken);

    /// <summary>False where there is no such key; revoking twice keeps the first time.</summary>
    ValueTask<bool> RevokeAsync(string id, DateTimeOffset at, CancellationToken cancellationToken);

    ValueTask TouchAsync(string id, DateTimeOffset at, CancellationToken cancellationToken);

    /// <summary>True while a key that is not revoked exists.</summary>
    ValueTask<bool> AnyAsync(CancellationToken cancellationToken);
}
