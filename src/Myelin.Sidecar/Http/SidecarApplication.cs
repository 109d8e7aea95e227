using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Oip;
using Myelin.Protocol.Sidecars;

namespace Myelin.Sidecar.Http;

/// <summary>
/// The Open Inference Protocol v2 over the models of this process, directly on Kestrel: no container, no routing table,
/// no middleware, no log. Every ending of a request has its status here and nowhere else.
/// </summary>
internal sealed class SidecarApplication : IHttpApplication<HttpContext>, IDisposable
{
    private readonly HttpListenerOptions _options;
    private readonly RuntimeCounter _calls = new();
    private readonly InferEndpoint _infer;
    private readonly FollowEndpoint _follow;
    private readonly CancellationTokenSource _end = new();
    private readonly TaskCompletionSource _failureTold = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile SidecarState _state = SidecarState.Loading;

    public SidecarApplication(HttpListenerOptions options)
    {
        _options = options;
        var followers = new CallFollowers(options.MaxCalls);
        _infer = new InferEndpoint(options.Message, followers, options.Time);
        _follow = new FollowEndpoint(followers, options.FollowWait, options.Time);
    }

    public void Ready(IReadOnlyList<ServedModel> models) =>
        _state = new SidecarState(SidecarPhase.Ready, models.ToDictionary(model => model.Model.Name));

    public async Task FailAsync(string message, CancellationToken cancellationToken)
    {
        _state = SidecarState.Loading with { Phase = SidecarPhase.Failed, Failure = message };
        await Task.WhenAny(_failureTold.Task, Task.Delay(_options.FailureShown, _options.Time, cancellationToken)).ConfigureAwait(false);
    }

    /// <summary>Refuses new calls; ends when the answers of the others have been handed to their connections.</summary>
    public async Task DrainAsync(CancellationToken cancellationToken)
    {
        _state = _state with { Phase = SidecarPhase.Draining };
        await _calls.DrainAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        await _end.CancelAsync().ConfigureAwait(false);
    }

    public void Dispose() => _end.Dispose();

    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public void DisposeContext(HttpContext context, Exception? exception)
    {
    }

    public async Task ProcessRequestAsync(HttpContext context)
    {
        try
        {
            await RouteAsync(context).ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            if (context.Response.HasStarted || context.RequestAborted.IsCancellationRequested || fault is ConnectionResetException)
            {
                context.Abort(); // half an answer must not look like a whole one
                return;
            }

            var (status, code) = Ending(fault);
            context.Response.Clear();
            await HttpAnswer.ErrorAsync(context, status, Message(fault), code).ConfigureAwait(false);
        }
    }

    private Task RouteAsync(HttpContext context)
    {
        var request = context.Request;
        if (request.Headers.Origin.Count > 0)
        {
            // A page in a browser of this machine reaches 127.0.0.1 too, and no sidecar is meant for pages.
            return HttpAnswer.ErrorAsync(context, StatusCodes.Status403Forbidden, "browsers are not served");
        }

        var path = (request.Path.Value ?? "").Split('/', StringSplitOptions.RemoveEmptyEntries);
        var state = _state;
        return (request.Method, path) switch
        {
            ("GET", ["v2"]) => HttpAnswer.JsonAsync(context, StatusCodes.Status200OK, Metadata.Server),
            ("GET", ["v2", "health", "live"]) => HttpAnswer.StatusAsync(context, StatusCodes.Status200OK),
            ("GET", ["v2", "health", "ready"]) => ReadyAsync(context, state),
            ("GET", ["v2", "models", "stats"]) => StatisticsAsync(context, state.Models.Values),
            ("POST", ["v2", "repository", "index"]) => HttpAnswer.JsonAsync(context, StatusCodes.Status200OK, json => Metadata.Index(json, state.Models.Values)),
            ("POST", ["v2", "repository", ..]) => HttpAnswer.ErrorAsync(context, StatusCodes.Status501NotImplemented, "a sidecar's models are loaded for as long as it lives"),
            ("GET", ["v2", "myelin", "calls", var id]) => _follow.RunAsync(context, id, _end.Token),
            (_, ["v2", "models", var model, "versions", var version, .. var rest]) => ModelAsync(context, state, model, version, rest),
            (_, ["v2", "models", var model, .. var rest]) => ModelAsync(context, state, model, null, rest),
            _ => HttpAnswer.ErrorAsync(context, StatusCodes.Status404NotFound, $"there is no {request.Method} {request.Path}"),
        };
    }

    private Task ModelAsync(HttpContext context, SidecarState state, string name, string? version, string[] rest)
    {
        if (state.Phase is SidecarPhase.Loading or SidecarPhase.Failed)
        {
            return RefuseAsync(context, state);
        }

        if (!state.Models.TryGetValue(name, out var served) || (version is not null && version != served.Model.Version))
        {
            return HttpAnswer.ErrorAsync(context, StatusCodes.Status404NotFound,
                $"there is no model '{name}'{(version is null ? "" : $" of version '{version}'")}; there are: {string.Join(", ", state.Models.Keys)}", SidecarErrors.UnknownModel);
        }

        return (context.Request.Method, rest) switch
        {
            ("GET", []) => HttpAnswer.JsonAsync(context, StatusCodes.Status200OK, json => Metadata.Model(json, served.Model)),
            ("GET", ["ready"]) => ReadyAsync(context, state),
            ("GET", ["stats"]) => StatisticsAsync(context, [served]),
            ("POST", ["infer"]) => InferAsync(context, state, served),
            _ => HttpAnswer.ErrorAsync(context, StatusCodes.Status404NotFound, $"there is no {context.Request.Method} {context.Request.Path}"),
        };
    }

    private async Task InferAsync(HttpContext context, SidecarState state, ServedModel served)
    {
        if (state.Phase == SidecarPhase.Draining || _calls.Statistics.Running >= _options.MaxCalls)
        {
            await RefuseAsync(context, state).ConfigureAwait(false);
            return;
        }

        _calls.Begin();
        try
        {
            await _infer.RunAsync(context, served).ConfigureAwait(false);
            await context.Response.CompleteAsync().ConfigureAwait(false);
        }
        finally
        {
            _calls.Succeeded(TimeSpan.Zero); // answered, whichever way
        }
    }

    private Task ReadyAsync(HttpContext context, SidecarState state)
    {
        if (state.Failure is { } failure)
        {
            _failureTold.TrySetResult();
            return HttpAnswer.ErrorAsync(context, StatusCodes.Status500InternalServerError, failure, SidecarErrors.LoadFailed);
        }

        return HttpAnswer.StatusAsync(context, state.Phase == SidecarPhase.Ready ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable);
    }

    private static Task StatisticsAsync(HttpContext context, IEnumerable<ServedModel> models) =>
        HttpAnswer.JsonAsync(context, StatusCodes.Status200OK, json => Metadata.Statistics(json, models));

    private static Task RefuseAsync(HttpContext context, SidecarState state)
    {
        var (message, code) = state.Phase switch
        {
            SidecarPhase.Loading => ("the models are still loading", SidecarErrors.Overloaded),
            SidecarPhase.Failed => ($"loading failed: {state.Failure}", SidecarErrors.LoadFailed),
            SidecarPhase.Draining => ("the sidecar takes no new calls; nothing was done, send it elsewhere", SidecarErrors.Draining),
            _ => ("more calls wait than this sidecar allows; come back later", SidecarErrors.Overloaded),
        };
        return HttpAnswer.ErrorAsync(context, StatusCodes.Status503ServiceUnavailable, message, code);
    }

    private (int Status, string Code) Ending(Exception fault) => fault switch
    {
        OipException { Unsupported: true } => (StatusCodes.Status501NotImplemented, "unsupported"),
        OipException => (StatusCodes.Status400BadRequest, SidecarErrors.BadInput),
        BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge } => (StatusCodes.Status413PayloadTooLarge, SidecarErrors.TooLarge),
        BadHttpRequestException wrong => (wrong.StatusCode, SidecarErrors.BadInput),
        RuntimeException { Code: SidecarErrors.Deadline } => (StatusCodes.Status503ServiceUnavailable, SidecarErrors.Deadline),
        RuntimeException { Code: SidecarErrors.TooLarge } => (StatusCodes.Status413PayloadTooLarge, SidecarErrors.TooLarge),
        RuntimeException failed => (failed.Retryable ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status400BadRequest, failed.Code ?? SidecarErrors.Failed),
        ObjectDisposedException when _state.Phase == SidecarPhase.Draining => (StatusCodes.Status503ServiceUnavailable, SidecarErrors.Draining),
        OutOfMemoryException => (StatusCodes.Status503ServiceUnavailable, SidecarErrors.OutOfMemory),
        _ => (StatusCodes.Status500InternalServerError, SidecarErrors.Failed),
    };

    private static string Message(Exception fault) =>
        fault.Message.Length > 4096 ? fault.Message[..4096] : fault.Message;
}
