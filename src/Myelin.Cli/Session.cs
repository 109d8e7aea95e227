using System.CommandLine;
using System.Net;
using System.Net.Http.Headers;
using Myelin.Cli.Terminal;

namespace Myelin.Cli;

/// <summary>What one command works with: the server and the terminal.</summary>
internal sealed class Session(ParseResult arguments, MyelinClient client, Output output)
{
    private const string DefaultServer = "http://127.0.0.1:8080";

    public ParseResult Arguments { get; } = arguments;

    public MyelinClient Client { get; } = client;

    public Output Output { get; } = output;

    /// <summary>Makes a command's body an action: opens the session and maps every ending to an exit code and a sentence.</summary>
    public static Func<ParseResult, CancellationToken, Task<int>> Action(Func<Session, CancellationToken, Task<int>> body) =>
        async (arguments, cancellationToken) =>
        {
            var output = new Output(arguments.GetValue(GlobalOptions.Json));
            try
            {
                using var http = Connect(arguments);
                var options = new MyelinClientOptions
                {
                    ApiKey = arguments.GetValue(GlobalOptions.ApiKey) ?? Environment.GetEnvironmentVariable("MYELIN_API_KEY"),
                    RetryRefused = false,
                };
                return await body(new(arguments, new(http, options), output), cancellationToken);
            }
            catch (UsageException e)
            {
                return output.Fail(e.Message, ExitCode.Usage);
            }
            catch (MyelinUnreachableException e)
            {
                return output.Fail($"{e.Message.TrimEnd('.')}. Start it with ./dev run, or name another with --server.", ExitCode.Unreachable);
            }
            catch (MyelinException e)
            {
                return output.Fail(WithCure(e), IsCallersFault(e.Status) ? ExitCode.Usage : ExitCode.JobFailed);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return output.Fail(e.Message, ExitCode.JobFailed);
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                return ExitCode.Interrupted;
            }
        };

    private static HttpClient Connect(ParseResult arguments)
    {
        var address = arguments.GetValue(GlobalOptions.Server) ?? Environment.GetEnvironmentVariable("MYELIN_SERVER") ?? DefaultServer;
        if (!Uri.TryCreate(address.TrimEnd('/') + "/", UriKind.Absolute, out var server) || server.Scheme is not ("http" or "https"))
        {
            throw new UsageException($"--server {Readable.Plain(address)} is not an address; write it as {DefaultServer}.");
        }

        var http = new HttpClient(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(5) })
        {
            BaseAddress = server,
            Timeout = Timeout.InfiniteTimeSpan,
        };
        http.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("myelin-cli", "0.1"));
        return http;
    }

    private static string WithCure(MyelinException e) => e.Status switch
    {
        HttpStatusCode.Unauthorized => $"{e.Message} Set MYELIN_API_KEY.",
        HttpStatusCode.TooManyRequests when e.RetryAfter is { } after => $"{e.Message} Try again in {after.TotalSeconds:0} s.",
        _ => e.Message,
    };

    private static bool IsCallersFault(HttpStatusCode status) =>
        (int)status is >= 400 and < 500 && status is not (HttpStatusCode.TooManyRequests or HttpStatusCode.RequestTimeout);
}
