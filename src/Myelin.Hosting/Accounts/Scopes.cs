namespace Myelin.Hosting.Accounts;

/// <summary>What a key may do. <see cref="Admin"/> includes the others.</summary>
[Flags]
internal enum Scopes
{
    None = 0,

    /// <summary>Submit, watch, cancel and fetch jobs; read models.</summary>
    Infer = 1,

    /// <summary>Install, upload, delete models; read models and metrics.</summary>
    Manage = 2,

    /// <summary>See and run the server itself; what <see cref="Admin"/> has beyond the others.</summary>
    Operate = 4,

    /// <summary>Everything.</summary>
    Admin = Operate | Infer | Manage | Metrics | Priority,

    /// <summary>Read metrics, and nothing else: for Prometheus.</summary>
    Metrics = 8,

    /// <summary>Beside <see cref="Infer"/>: submit jobs of priority high.</summary>
    Priority = 16,
}

internal static class ScopeNames
{
    /// <summary><c>infer,manage</c> → flags; null names the words that are not scopes.</summary>
    public static Scopes? Parse(string text, out string? wrong)
    {
        var scopes = Scopes.None;
        wrong = null;
        foreach (var word in text.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            switch (word)
            {
                case "infer": scopes |= Scopes.Infer; break;
                case "manage": scopes |= Scopes.Manage; break;
                case "metrics": scopes |= Scopes.Metrics; break;
                case "priority": scopes |= Scopes.Priority; break;
                case "admin": scopes |= Scopes.Admin; break;
                default: wrong = wrong is null ? word : $"{wrong}, {word}"; break;
            }
        }

        return wrong is null && scopes != Scopes.None ? scopes : null;
    }

    public static string ToText(this Scopes scopes)
    {
        if (scopes.HasFlag(Scopes.Operate))
        {
            return "admin";
        }

        (Scopes Scope, string Name)[] names = [(Scopes.Infer, "infer"), (Scopes.Priority, "priority"), (Scopes.Manage, "manage"), (Scopes.Metrics, "metrics")];
        return scopes == Scopes.None ? "none" : string.Join(',', names.Where(n => scopes.HasFlag(n.Scope)).Select(n => n.Name));
    }
}
