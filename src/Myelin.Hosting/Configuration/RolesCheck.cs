namespace Myelin.Hosting.Configuration;

/// <summary>Whether the roles of a process can work with what the other settings name.</summary>
internal static class RolesCheck
{
    private static readonly Dictionary<string, Role> s_known = new(StringComparer.Ordinal)
    {
        ["gateway"] = Role.Gateway,
        ["worker"] = Role.Worker,
        ["coordinator"] = Role.Coordinator,
    };

    /// <summary>The roles that a text names; what is none is passed over, <see cref="Errors"/> tells of it.</summary>
    public static Role Of(string roles) => Split(roles).Aggregate(Role.None, static (all, name) => all | s_known.GetValueOrDefault(name));

    public static IEnumerable<string> Errors(MyelinOptions options)
    {
        var roles = Split(options.Roles);
        foreach (var unknown in roles.Except(s_known.Keys))
        {
            yield return $"roles: '{unknown}' is none; there are: {string.Join(", ", s_known.Keys)}";
        }

        if (roles.Length == 0)
        {
            yield return $"roles: none is given; there are: {string.Join(", ", s_known.Keys)}";
        }
    }

    /// <summary>What will not work as somebody who splits the roles expects; each with the cure.</summary>
    public static IEnumerable<string> Warnings(MyelinOptions options)
    {
        if (options.Runs(Role.All))
        {
            yield break;
        }

        if (options.Topology == Topology.Alone)
        {
            yield return $"The roles {options.Roles} share nothing with other processes: SQLite belongs to one. Name a PostgreSQL (storage.connection).";
        }

        if (options.Runs(Role.Gateway) && options.Webhooks.Secret.Length == 0)
        {
            yield return "Gateways send webhooks, and those that do not share a data folder sign them with different secrets; webhooks.secret gives all the same.";
        }
    }

    private static string[] Split(string roles) => roles.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
}
