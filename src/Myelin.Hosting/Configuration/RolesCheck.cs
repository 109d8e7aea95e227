namespace Myelin.Hosting.Configuration;

/// <summary>Whether the roles of a process can work with what the other settings name.</summary>
internal static class RolesCheck
{
    private static readonly string[] s_known = ["gateway", "worker", "coordinator"];

    public static IEnumerable<string> Errors(MyelinOptions options)
    {
        var roles = Split(options);
        foreach (var unknown in roles.Except(s_known))
        {
            yield return $"roles: '{unknown}' is none; there are: {string.Join(", ", s_known)}";
        }

        if (roles.Length == 0)
        {
            yield return $"roles: none is given; there are: {string.Join(", ", s_known)}";
        }
    }

    /// <summary>What will not work as somebody who splits the roles expects; each with the cure.</summary>
    public static IEnumerable<string> Warnings(MyelinOptions options)
    {
        if (s_known.All(options.Runs))
        {
            yield break;
        }

        if (options.Storage.Connection.Length == 0)
        {
            yield return $"The roles {options.Roles} share nothing with other processes: SQLite belongs to one. Name a PostgreSQL (storage.connection).";
        }

        if (options.Runs("gateway") && options.Webhooks.Secret.Length == 0)
        {
            yield return "Gateways send webhooks, and those that do not share a data folder sign them with different secrets; webhooks.secret gives all the same.";
        }
    }

    private static string[] Split(MyelinOptions options) => options.Roles.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
}
