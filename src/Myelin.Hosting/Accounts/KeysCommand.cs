using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Accounts;

/// <summary>
/// <c>keys create|list|revoke</c>, run beside a running server or without one: it opens the database by itself.
/// </summary>
internal sealed class KeysCommand(TextWriter output, TextWriter error, TimeProvider time)
{
    private const int Ok = 0;
    private const int Failed = 1;
    private const int Usage = 2;

    private const string Help = """
        keys create --name NAME [--tenant TENANT] [--scopes SCOPES]   makes a key and shows it once
                          SCOPES: infer, manage, metrics, admin, priority (jobs of priority high), comma-separated
        keys list                                                                 shows every key, never a secret
        keys revoke ID                                                            ends a key within five seconds
        """;

    public static Task<int> RunAsync(string[] args, MyelinOptions options) =>
        new KeysCommand(Console.Out, Console.Error, TimeProvider.System).ExecuteAsync(args, options);

    /// <param name="args">What follows <c>keys</c>.</param>
    /// <param name="options">Where the database is.</param>
    /// <returns>Exit code: 0 done, 1 failed, 2 wrong usage.</returns>
    public async Task<int> ExecuteAsync(string[] args, MyelinOptions options)
    {
        try
        {
            return args switch
            {
                ["create", .. var rest] => await CreateAsync(rest, options),
                ["list"] => await ListAsync(options),
                ["revoke", var id] => await RevokeAsync(id, options),
                _ => await FailAsync(Help, Usage),
            };
        }
        catch (IOException e)
        {
            return await FailAsync(e.Message, Failed);
        }
    }

    private async Task<int> CreateAsync(string[] args, MyelinOptions options)
    {
        var (name, tenant, scopeText) = ("", Caller.LocalTenant, "infer");
        for (var i = 0; i + 1 < args.Length; i += 2)
        {
            switch (args[i])
            {
                case "--name": name = args[i + 1]; break;
                case "--tenant": tenant = args[i + 1]; break;
                case "--scopes": scopeText = args[i + 1]; break;
                default: return await FailAsync($"'{args[i]}' is no option of 'keys create'.\n{Help}", Usage);
            }
        }

        if (args.Length % 2 != 0 || !IsName(name) || !IsName(tenant))
        {
            return await FailAsync($"A name and a tenant have 1 to 64 printable characters.\n{Help}", Usage);
        }

        if (ScopeNames.Parse(scopeText, out var wrong) is not { } scopes)
        {
            return await FailAsync($"'{wrong ?? scopeText}' is no scope; there are infer, manage, metrics, admin, priority.", Usage);
        }

        var (id, secret) = ApiKeyText.Generate();
        var hash = new byte[32];
        ApiKeyText.Hash(secret, hash);
        var key = new ApiKey { Id = id, Hash = hash, Tenant = tenant, Name = name, Scopes = scopes, Created = time.GetUtcNow() };
        var (keys, owner) = await KeyStores.OpenAsync(options, time, CancellationToken.None);
        await using (owner)
        {
            await keys.AddAsync(key, CancellationToken.None);
        }

        if (DataFolder.Warning(options.Data) is { } warning)
        {
            await error.WriteLineAsync(warning);
        }

        // The key alone on standard output, so that a script can take it.
        await error.WriteLineAsync($"Key '{name}' of tenant '{tenant}' with {scopes.ToText()}. It is shown only now:");
        await output.WriteLineAsync(ApiKeyText.Format(id, secret));
        return Ok;
    }

    private async Task<int> ListAsync(MyelinOptions options)
    {
        var (keys, owner) = await KeyStores.OpenAsync(options, time, CancellationToken.None);
        await using var closing = owner;
        await output.WriteLineAsync($"{"ID",-14}{"NAME",-22}{"TENANT",-18}{"SCOPES",-14}{"CREATED",-22}{"LAST USED",-22}STATE");
        foreach (var key in await keys.ListAsync(CancellationToken.None))
        {
            await output.WriteLineAsync(
                $"{key.Id,-14}{key.Name,-22}{key.Tenant,-18}{key.Scopes.ToText(),-14}{key.Created,-22:u}{key.LastUsed,-22:u}{(key.Revoked is { } at ? $"revoked {at:u}" : "active")}");
        }

        return Ok;
    }

    private async Task<int> RevokeAsync(string id, MyelinOptions options)
    {
        // Somebody who pastes the whole key means its id.
        id = ApiKeyText.TryParse(id, out var parsed, out _) ? parsed.ToString() : id;
        var (keys, owner) = await KeyStores.OpenAsync(options, time, CancellationToken.None);
        await using var closing = owner;
        if (!await keys.RevokeAsync(id, time.GetUtcNow(), CancellationToken.None))
        {
            return await FailAsync($"There is no key '{id}'; 'keys list' shows them.", Failed);
        }

        await output.WriteLineAsync($"Key {id} is revoked; a running server stops taking it within {KeyRing.Freshness.TotalSeconds:0} seconds.");
        return Ok;
    }

    private async Task<int> FailAsync(string message, int code)
    {
        await error.WriteLineAsync(message);
        return code;
    }

    private static bool IsName(string text) => text.Length is > 0 and <= 64 && !text.Any(char.IsControl);
}
