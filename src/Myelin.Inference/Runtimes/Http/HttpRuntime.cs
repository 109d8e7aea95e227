using System.Globalization;
using System.Net;
using Myelin.Inference.Runtimes.Oip;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Http;

/// <summary>
/// A network behind an Open Inference Protocol v2 server: our own sidecars, Triton, KServe, MLServer. Owner: the task that
/// connected it. One request per call; a cancelled call closes its connection (HTTP/2: resets its stream). Nothing is
/// sent twice: what was lost on the way is a retryable fault, and whether to repeat it is the owner's to decide.
/// </summary>
public sealed class HttpRuntime : IRuntime
{
    private static readonly string s_callPrefix = Guid.NewGuid().ToString("N");
    private static long s_lastCall;

    private readonly HttpOptions _options;
    private readonly HttpSidecar _server;
    private readonly HttpStart _start;
    private readonly RuntimeCounter _counter = new();
    private readonly CancellationTokenSource _end = new();
    private int _disposed;

    private HttpRuntime(HttpOptions options, HttpSidecar server, HttpStart start) => (_options, _server, _start) = (options, server, start);

    public IReadOnlyList<TensorSpec> Inputs => _start.Inputs;

    public IReadOnlyList<TensorSpec> Outputs => _start.Outputs;

    public RuntimeCapabilities Capabilities => _start.Capabilities;

    public RuntimeStatistics Statistics => _counter.Statistics;

    /// <summary>What the server calls itself; null where it does not.</summary>
    public string? Product => _start.Product;

    /// <summary>Waits until server and model are ready, and reads what the model takes and gives.</summary>
    /// <exception cref="RuntimeException">Not ready within <see cref="HttpOptions.StartTimeout"/> (retryable); loading failed or there is no such model (not).</exception>
    public static async Task<HttpRuntime> ConnectAsync(HttpOptions options, CancellationToken cancellationToken)
    {
        var server = new HttpSidecar(options);
        try
        {
            return new HttpRuntime(options, server, await HttpStart.AwaitAsync(server, options, cancellationToken).ConfigureAwait(false));
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    /// <summary>The process answers. False: it refuses, is hung or gone.</summary>
    public ValueTask<bool> LiveAsync(CancellationToken cancellationToken) => AnswersAsync("v2/health/live", cancellationToken);

    /// <summary>The model takes calls.</summary>
    public ValueTask<bool> ReadyAsync(CancellationToken cancellationToken) => AnswersAsync(_start.Path + "/ready", cancellationToken);

    public async ValueTask<TensorSet> InferAsync(IReadOnlyList<Tensor> inputs, IProgress<RuntimeProgress>? progress, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        _counter.Begin();
        try
        {
            var began = _options.Time.GetTimestamp();
            var answer = await CallAsync(inputs, progress, cancellationToken).ConfigureAwait(false);
            var compute = answer.Parameters.Number(OipExtensions.Compute) is { } nanoseconds and >= 0
                ? TimeSpan.FromTicks(nanoseconds / TimeSpan.NanosecondsPerTick)
                : _options.Time.GetElapsedTime(began);
            _counter.Succeeded(compute);
            return answer.Tensors;
        }
        catch (Exception fault)
        {
            _counter.Ended(fault, cancellationToken);
            throw;
        }
    }

    public async ValueTask DrainAsync(CancellationToken cancellationToken) =>
        await _counter.DrainAsync().WaitAsync(cancellationToken).ConfigureAwait(false);

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        var drained = _counter.DrainAsync();
        await Task.WhenAny(drained, Task.Delay(_options.DrainTimeout, _options.Time)).ConfigureAwait(false);
        await _end.CancelAsync().ConfigureAwait(false);
        await drained.ConfigureAwait(false);
        _server.Dispose();
        _end.Dispose();
    }

    private async Task<OipMessage> CallAsync(IReadOnlyList<Tensor> inputs, IProgress<RuntimeProgress>? progress, CancellationToken cancellationToken)
    {
        using var late = new CancellationTokenSource(_options.CallTimeout, _options.Time);
        using var abort = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken, _end.Token);
        try
        {
            if (progress is null || !_start.Follow)
            {
                return await SendAsync(inputs, null, abort.Token).ConfigureAwait(false);
            }

            var call = string.Create(CultureInfo.InvariantCulture, $"{s_callPrefix}-{Interlocked.Increment(ref s_lastCall)}");
            var following = await HttpProgress.OpenAsync(_server, call, progress, _options.Time).ConfigureAwait(false);
            await using var _ = following.ConfigureAwait(false);
            var answer = await SendAsync(inputs, call, abort.Token).ConfigureAwait(false);
            await following.EndAsync().ConfigureAwait(false);
            return answer;
        }
        catch (OperationCanceledException fault) when (!cancellationToken.IsCancellationRequested)
        {
            throw Ended(fault, abort);
        }
        catch (Exception fault) when (HttpFault.IsLoss(fault))
        {
            cancellationToken.ThrowIfCancellationRequested(); // the connection was closed because of it
            throw abort.IsCancellationRequested ? Ended(fault, abort) : HttpFault.Connection(_server.Name, fault);
        }
        catch (OipException fault)
        {
            throw HttpFault.Broken(_server.Name, fault);
        }
    }

    private async Task<OipMessage> SendAsync(IReadOnlyList<Tensor> inputs, string? call, CancellationToken abort)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(abort);
        using var content = new OipContent(OipWriter.Request(inputs, call, _options.CallTimeout), inputs);
        var answered = false;
        try
        {
            using var response = await _server.CallAsync(_start.Path + "/infer", content, stop.Token).ConfigureAwait(false);
            if (response.StatusCode != HttpStatusCode.OK)
            {
                throw await HttpFault.FromAnswerAsync(_server.Name, response, stop.Token).ConfigureAwait(false);
            }

            var body = await response.Content.ReadAsStreamAsync(stop.Token).ConfigureAwait(false);
            await using var _ = body.ConfigureAwait(false);
            var answer = await OipReader.ReadAsync(
                body, HeadLength(response), response.Content.Headers.ContentLength, "outputs", _options.Message, stop.Token).ConfigureAwait(false);
            answered = true;
            return answer;
        }
        finally
        {
            if (!answered)
            {
                await stop.CancelAsync().ConfigureAwait(false); // an answer may come before all is sent: send no more
            }

            await content.LetGoAsync().ConfigureAwait(false);
        }
    }

    private static long? HeadLength(HttpResponseMessage response)
    {
        if (!response.Headers.TryGetValues(OipReader.HeadLengthHeader, out var values))
        {
            return null;
        }

        return long.TryParse(values.First(), NumberStyles.None, CultureInfo.InvariantCulture, out var length)
            ? length
            : throw new OipException(OipReader.HeadLengthHeader, "is no number");
    }

    /// <summary>The call was interrupted, and not by its caller.</summary>
    private RuntimeException Ended(Exception fault, CancellationTokenSource abort) => fault switch
    {
        _ when _end.IsCancellationRequested => new RuntimeException($"{_server.Name} was let go while the call ran", retryable: true, fault) { Code = SidecarErrors.Draining },
        _ when abort.IsCancellationRequested => HttpFault.Deadline(_server.Name, _options.CallTimeout),
        _ => HttpFault.Connection(_server.Name, fault), // the handler's own patience with a connection
    };

    private async ValueTask<bool> AnswersAsync(string path, CancellationToken cancellationToken)
    {
        try
        {
            using var answer = await _server.AskAsync(HttpMethod.Get, path, cancellationToken).ConfigureAwait(false);
            return answer.Ok;
        }
        catch (RuntimeException)
        {
            return false;
        }
    }
}
