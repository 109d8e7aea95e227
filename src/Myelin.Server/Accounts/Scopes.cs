namespace Myelin.Server.Accounts;

/// <summary>What a key may do. <see cref="Admin"/> includes the others.</summary>
[Flags]
internal enum Scopes
{
    None = 0,

    /// <summary>Submit, watch, cancel and fetch jobs; read models.</summary>
    Infer = 1,

    /// <summary>Install, upload, delete models; read models and metrics.</summary>
    Manage = 2,

    /// <summary>Everything.</summary>
    Admin = 4 | Infer | Manage,
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
                case "admin": scopes |= Scopes.Admin; break;
                default: wrong = wrong is null ? word : $"{wrong}, {word}"; break;
            }
        }

        return wrong is null && scopes != Scopes.None ? scopes : null;
    }

    public static string ToText(this Scopes scopes)
    {
        if (scopes.HasFlag(Scopes.Admin))
        {
            return "admin";
        }

        return (scopes & Scopes.Infer, scopes & Scopes.Manage) switch
        {
            (0, 0) => "none",
            (0, _) => "manage",
            (_, 0) => "infer",
            _ => "infer,manage",
        };
    }
}
