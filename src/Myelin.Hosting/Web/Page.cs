using Microsoft.Extensions.FileProviders;

namespace Myelin.Hosting.Web;

/// <summary>
/// The page at <c>/</c> and the sample pictures: files beside the executable, for anybody who may reach the server, also
/// without a key; what the page asks of the API is checked there. Browsers ask again each time (ETag), so that a new
/// version of the server never meets an old page.
/// </summary>
internal static class Page
{
    public static void UsePage(this WebApplication app)
    {
        var folder = Path.Combine(AppContext.BaseDirectory, "wwwroot");
        if (!Directory.Exists(folder))
        {
            return; // A test host that links the server's assembly without its files.
        }

        var files = new PhysicalFileProvider(folder);
        app.UseDefaultFiles(new DefaultFilesOptions { FileProvider = files });
        app.UseStaticFiles(new StaticFileOptions
        {
            FileProvider = files,
            OnPrepareResponse = file => file.Context.Response.Headers.CacheControl = "no-cache",
        });
    }
}
