using System.Net;
using System.Net.Http.Json;
using System.Text.Json;

namespace Myelin.Client;

/// <summary>
/// Sends one call: adds the key, repeats what is worth repeating, turns problems into <see cref="MyelinException"/>.
/// Every call it repeats is safe to repeat: reads, cancels, and submissions under an idempotency key.
/// </summary>
internal sealed class Transport(HttpClient http, MyelinClientOptions options)
{
    public Uri Server { get; } = http.BaseAddress
        ?? throw new ArgumentException("The HttpClient needs a BaseAddress, such as http://127.0.0.1:8080/.", nameof(http));

    /// <summary>An answer with a success status, read up to its headers. The caller disposes it.</summary>
    /// <param name="request">Makes a fresh request for each attempt.</param>
    /// <param name="canRepeat">False when the body cannot be made again.</param>
    public async Task<HttpResponseMessage> SendAsync(
        Func<HttpRequestMessage> request, Func<bool> canRepeat, CancellationToken cancellationToken)
    {
        for (var attempt = 0; ; attempt++)
        {
            TimeSpan delay;
            using var message = Authorise(request());
            try
            {
                var response = await http.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, cancellationToken).ConfigureAwait(false);
                if (response.IsSuccessStatusCode)
                {
                    return response;
                }

                using (response)
                {
                    var after = RetryAfter(response);
                    delay = after ?? Delay(attempt);
                    var busy = response.StatusCode is HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable
                        or HttpStatusCode.BadGateway or HttpStatusCode.GatewayTimeout;
                    if (!busy || attempt >= options.MaxRetries || delay > options.MaxRetryDelay || !canRepeat())
                    {
                        throw new MyelinException(response.StatusCode, await ReadProblemAsync(response, cancellationToken).ConfigureAwait(false), after);
                    }
                }
            }
            catch (HttpRequestException e)
            {
                var refused = e.HttpRequestError is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError;
                if (attempt >= options.MaxRetries || !canRepeat() || (refused && !options.RetryRefused))
                {
                    throw new MyelinUnreachableException(Server, e);
                }

                delay = Delay(attempt);
            }

            await Task.Delay(delay, options.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
    }

    public Task<HttpResponseMessage> GetAsync(string path, CancellationToken cancellationToken) =>
        SendAsync(() => new(HttpMethod.Get, Resolve(path)), static () => true, cancellationToken);

    /// <summary>GET and read JSON of a type of the protocol.</summary>
    public async Task<T> GetAsync<T>(string path, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type, CancellationToken cancellationToken)
    {
        using var response = await GetAsync(path, cancellationToken).ConfigureAwait(false);
        return await ReadAsync(response, type, cancellationToken).ConfigureAwait(false);
    }

    public static async Task<T> ReadAsync<T>(
        HttpResponseMessage response, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type, CancellationToken cancellationToken) =>
        await response.Content.ReadFromJsonAsync(type, cancellationToken).ConfigureAwait(false)
            ?? throw new JsonException($"{response.RequestMessage?.RequestUri} answered null.");

    /// <summary>An address of the server: a path under the base address, whether or not it begins with a slash.</summary>
    public Uri Resolve(string path) =>
        Uri.TryCreate(path, UriKind.Absolute, out var absolute) && absolute.Scheme.StartsWith("http", StringComparison.Ordinal)
            ? absolute
            : new Uri(Server.AbsoluteUri.TrimEnd('/') + "/" + path.TrimStart('/'));

    /// <summary>Waits before the next try of something that the caller repeats itself. Attempt counts from 0.</summary>
    public Task BackoffAsync(int attempt, CancellationToken cancellationToken) =>
        Task.Delay(Delay(attempt), options.TimeProvider, cancellationToken);

    private HttpRequestMessage Authorise(HttpRequestMessage request)
    {
        // Artifacts may lie on another host; the key is for the server alone.
        var own = request.RequestUri is { } uri && Uri.Compare(
            uri, Server, UriComponents.SchemeAndServer, UriFormat.UriEscaped, StringComparison.OrdinalIgnoreCase) == 0;
        if (own && options.ApiKey is { Length: > 0 } key)
        {
            request.Headers.Authorization = new("Bearer", key);
        }

        return request;
    }

    private TimeSpan Delay(int attempt) => Backoff.After(options.RetryDelay, attempt + 1, options.MaxRetryDelay);

    private TimeSpan? RetryAfter(HttpResponseMessage response) => response.Headers.RetryAfter switch
    {
        { Delta: { } delta } => delta,
        { Date: { } date } => date - options.TimeProvider.GetUtcNow() is { Ticks: > 0 } wait ? wait : TimeSpan.Zero,
        _ => null,
    };

    private static async Task<Problem> ReadProblemAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        if (response.Content.Headers.ContentType?.MediaType is Problem.ContentType)
        {
            try
            {
                if (await response.Content.ReadFromJsonAsync(JsonContext.Default.Problem, cancellationToken).ConfigureAwait(false) is { } problem)
                {
                    return problem;
                }
            }
            catch (JsonException)
            {
                // A proxy in between may have cut the body: the status still says what happened.
            }
        }

        return new()
        {
            Type = "about:blank",
            Title = response.ReasonPhrase ?? response.StatusCode.ToString(),
            Status = (int)response.StatusCode,
            Detail = $"{response.RequestMessage?.RequestUri} answered {(int)response.StatusCode} {response.ReasonPhrase}. Is it a Myelin server?",
        };
    }
}
