using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage;
using Myelin.Hosting.Web;

namespace Myelin.Hosting.Accounts;

/// <summary>
/// Finds out who asks, before anything else looks at the request: a key in <c>Authorization: Bearer</c> or
/// <c>X-API-Key</c> (never in the address, which ends up in logs). Without a key the caller is the local tenant where
/// none is asked for, and nobody otherwise; <see cref="ScopeMiddleware"/> then decides.
/// </summary>
internal sealed class AccountsMiddleware(RequestDelegate next, KeyRing keys, FailedAttempts failures, MyelinOptions options)
{
    public const string HeaderName = "X-API-Key";
    private const string Bearer = "Bearer ";

    private readonly Caller _withoutKey = ListenCheck.KeysRequired(options) ? Caller.Unknown : Caller.Anonymous;

    public Task InvokeAsync(HttpContext context)
    {
        if (KeyOf(context.Request) is not { } key)
        {
            context.Features.Set(_withoutKey);
            return next(context);
        }

        // Before the database is asked: the watch must not end when that does.
        if (options.Telemetry.MetricsKey is { Length: > 0 } watch && SharedSecret.Matches(watch, key))
        {
            return Pass(context, Caller.Watcher);
        }

        var check = keys.CheckAsync(key, context.Connection.RemoteIpAddress, context.RequestAborted);
        return check is { IsCompletedSuccessfully: true, Result: { Verdict: KeyVerdict.Valid, Caller: { } caller } }
            ? Pass(context, caller)
            : CheckAsync(context, check);
    }

    private Task Pass(HttpContext context, Caller caller)
    {
        context.Features.Set(caller);
        return next(context);
    }

    private async Task CheckAsync(HttpContext context, ValueTask<(KeyVerdict Verdict, Caller? Caller)> check)
    {
        var (verdict, caller) = await check;
        if (caller is not null)
        {
            await Pass(context, caller);
            return;
        }

        // OpenAI's clients cannot leave the key out: where none is asked for, what was never one of ours is no mistake.
        if (verdict == KeyVerdict.Malformed && _withoutKey != Caller.Unknown)
        {
            await Pass(context, _withoutKey);
            return;
        }

        if (verdict == KeyVerdict.Unread)
        {
            throw new StorageUnavailableException("the database did not tell the key in time");
        }

        var problem = failures.Note(context.Connection.RemoteIpAddress) is { } wait
            ? new ProblemResult(Problems.Of(ProblemTypes.RateLimited, "too many wrong API keys from this address; wait, then send the right one"), wait)
            : Refusal(context, verdict);
        await problem.ExecuteAsync(context);
    }

    private static ProblemResult Refusal(HttpContext context, KeyVerdict verdict)
    {
        context.Response.Headers.WWWAuthenticate = "Bearer error=\"invalid_token\"";
        return new ProblemResult(ProblemTypes.Unauthorized, verdict switch
        {
            KeyVerdict.Malformed => "the API key is not of the form mk_<id>_<secret>; copy it whole",
            KeyVerdict.Revoked => "the API key was revoked; ask for a new one (keys create)",
            _ => "the API key is not known here; check that it is of this server (keys list)",
        });
    }

    private static string? KeyOf(HttpRequest request)
    {
        var headers = request.Headers;
        if (headers.Authorization is [{ } authorization] && authorization.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase))
        {
            return authorization[Bearer.Length..].Trim();
        }

        return headers.TryGetValue(HeaderName, out var value) && value is [{ } key] ? key.Trim() : null;
    }
}
