using System.CommandLine;

namespace Myelin.Cli;

/// <summary>Options that every command takes. The key is never a default value, so that help cannot print it.</summary>
internal static class GlobalOptions
{
    public static readonly Option<string> Server = new("--server")
    {
        Description = "Address of the server [env: MYELIN_SERVER; default: http://127.0.0.1:8080]",
        HelpName = "url",
        Recursive = true,
    };

    public static readonly Option<string> ApiKey = new("--api-key")
    {
        Description = "API key; the environment is the better place [env: MYELIN_API_KEY]",
        HelpName = "key",
        Recursive = true,
    };

    public static readonly Option<bool> Json = new("--json")
    {
        Description = "JSON on standard output, one object a line; progress stays on standard error",
        Recursive = true,
    };
}
