using System.IO.Compression;
using System.Reflection;
using Microsoft.Net.Http.Headers;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Web;
using Scalar.AspNetCore;

namespace Myelin.Server.Gateway;

/// <summary>
/// The page at <c>/docs</c>: Scalar's program, from its package, in a page of ours. Scalar's own page starts it by an
/// inline script, which <see cref="SecurityHeaders.PagePolicy"/> does not run.
/// </summary>
internal static class DocsPage
{
    private static readonly Assembly s_scalar = typeof(ScalarOptions).Assembly;

    /// <summary>A browser asks again each time and gets the 1.4 MB once a version.</summary>
    private static readonly EntityTagHeaderValue s_version = new($"\"{s_scalar.ManifestModule.ModuleVersionId:N}\"");

    public static void MapDocs(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/docs", () => Ours("docs.html", "text/html; charset=utf-8")).OpenToAll().ExcludeFromDescription();
        routes.MapGet("/docs/docs.js", () => Ours("docs.js", "text/javascript; charset=utf-8")).OpenToAll().ExcludeFromDescription();
        routes.MapGet("/docs/scalar.js", Scalar).OpenToAll().ExcludeFromDescription();
        routes.MapGet("/problems/{name}", (string name) => Problem(name)).OpenToAll().ExcludeFromDescription();
    }

    private static IResult Ours(string name, string contentType) =>
        TypedResults.Stream(typeof(DocsPage).Assembly.GetManifestResourceStream($"Myelin.Server.Gateway.Docs.{name}")!, contentType);

    private static IResult Scalar(HttpContext context)
    {
        var packed = s_scalar.GetManifestResourceStream("ScalarStaticAssets.scalar.js") ?? throw new InvalidOperationException("Scalar.AspNetCore holds no scalar.js");
        var headers = context.Response.Headers;
        (headers.CacheControl, headers.Vary) = ("no-cache", "Accept-Encoding");
        var gzip = context.Request.GetTypedHeaders().AcceptEncoding.Any(e => e.Value == "gzip" && e.Quality is not 0);
        if (gzip)
        {
            headers.ContentEncoding = "gzip";
        }

        return TypedResults.Stream(gzip ? packed : new GZipStream(packed, CompressionMode.Decompress), "text/javascript; charset=utf-8", entityTag: s_version);
    }

    // A problem's type is an address, and an address that is followed should lead somewhere.
    private static IResult Problem(string name) => Problems.Types.Contains("/problems/" + name)
        ? TypedResults.Redirect($"/docs#problem-{name}")
        : new ProblemResult(ProblemTypes.NotFound, "there is no such kind of problem");
}
