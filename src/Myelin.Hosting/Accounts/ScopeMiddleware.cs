using Myelin.Hosting.Web;

namespace Myelin.Hosting.Accounts;

/// <summary>What an endpoint asks of its caller; any one of the flags is enough. <see cref="Scopes.None"/> is open to all.</summary>
internal sealed record ScopeRequirement(Scopes AnyOf);

/// <summary>
/// Compares the caller with the endpoint that routing chose. An endpoint that says nothing asks for <c>infer</c> to read
/// and <c>manage</c> to change, so that a forgotten line closes a door rather than opening one.
/// </summary>
internal sealed class ScopeMiddleware(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext context)
    {
        if (context.GetEndpoint() is not { } endpoint)
        {
            return next(context);
        }

        var needed = endpoint.Metadata.GetMetadata<ScopeRequirement>()?.AnyOf ?? Default(context.Request.Method);
        var caller = context.Caller();
        if (needed == Scopes.None || (caller.Scopes & needed) != 0)
        {
            return next(context);
        }

        if (caller != Caller.Unknown)
        {
            return new ProblemResult(
                ProblemTypes.Forbidden, $"this needs a key with the scope {needed.ToText()}; yours has {caller.Scopes.ToText()}").ExecuteAsync(context);
        }

        context.Response.Headers.WWWAuthenticate = "Bearer";
        return new ProblemResult(
            ProblemTypes.Unauthorized, "send an API key as 'Authorization: Bearer mk_…' or 'X-API-Key: mk_…'; make one on the server with 'keys create'").ExecuteAsync(context);
    }

    private static Scopes Default(string method) =>
        HttpMethods.IsGet(method) || HttpMethods.IsHead(method) ? Scopes.Infer : Scopes.Manage;
}

internal static class ScopeExtensions
{
    /// <summary>Asks for a key with any one of <paramref name="anyOf"/>.</summary>
    public static TBuilder RequireScope<TBuilder>(this TBuilder builder, Scopes anyOf) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new ScopeRequirement(anyOf));

    /// <summary>Open to callers without a key, also where keys are asked for.</summary>
    public static TBuilder OpenToAll<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new ScopeRequirement(Scopes.None));
}
