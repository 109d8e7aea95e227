using System.Net;
using Microsoft.Net.Http.Headers;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Web;
using Myelin.Inference;

namespace Myelin.Jobs;

/// <summary>
/// Fetches inputs by URL, where the options allow it: only from the hosts they name, never from a private address, no
/// redirects, bounded in bytes and time. What goes wrong is the caller's input, so it names his field.
/// </summary>
internal sealed class InputFetcher : IDisposable
{
    private readonly HttpMessageInvoker _http;
    private readonly BodyBudget _budget;
    private readonly MyelinOptions _options;
    private readonly TimeProvider _time;
    private readonly string[] _hosts;

    public InputFetcher(BodyBudget budget, MyelinOptions options, TimeProvider time) : this(budget, options, time, allowPrivate: false)
    {
    }

    /// <param name="allowPrivate">True only for tests, whose servers are on loopback.</param>
    internal InputFetcher(BodyBudget budget, MyelinOptions options, TimeProvider time, bool allowPrivate)
    {
        (_budget, _options, _time) = (budget, options, time);
        _http = OutboundHttp.Create(allowPrivate, options.Input.UrlTimeout);
        _hosts = options.Input.UrlHosts.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
    }

    /// <returns>Null where <paramref name="draft"/>, which owns the bytes, now has the error.</returns>
    /// <exception cref="InputException">Not allowed, not reached, not answered, or too large.</exception>
    public async ValueTask<(string? ContentType, Memory<byte> Bytes)?> FetchAsync(string url, string field, SubmissionDraft draft, CancellationToken cancellationToken)
    {
        if (!_options.Input.AllowUrls)
        {
            throw new InputException(field, "inputs by URL are off; send the bytes (base64 or multipart/form-data), or start the server with --input-allow-urls");
        }

        if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || (uri.Scheme != "http" && uri.Scheme != "https") || uri.UserInfo.Length > 0)
        {
            throw new InputException(field, "must be an http or https address without a user name");
        }

        if (!_hosts.Contains("*") && !_hosts.Contains(uri.Host, StringComparer.OrdinalIgnoreCase))
        {
            throw new InputException(field, $"{uri.Host} is not one of the allowed hosts (input.urlHosts): {string.Join(", ", _hosts)}");
        }

        using var late = new CancellationTokenSource(_options.Input.UrlTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        var reserved = false;
        try
        {
            // How much will come nobody knows yet. The wait has an end because the draft may hold memory that others wait for.
            var permit = await _budget.AcquireAsync(_options.Input.MaxBytes, either.Token);
            reserved = true;
            if (permit is not null)
            {
                draft.Own(permit);
            }

            var (type, bytes) = await ReadAsync(uri, field, either.Token);
            draft.Own(bytes);
            permit?.Shrink(bytes.Length);
            return (type, bytes.Memory);
        }
        catch (OperationCanceledException) when (!reserved && late.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            draft.Errors.Add(field, "other inputs take all the memory for them (input.bufferBytes); send the same request again later", ProblemTypes.QueueFull);
            return null;
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new InputException(field, $"{uri.Host} did not answer within {_options.Input.UrlTimeout.TotalSeconds:0.#} s");
        }
        catch (PrivateAddressException e)
        {
            throw new InputException(field, e.Message);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            // A private address may come wrapped; its text is ours, the others' may tell of our network and stay here.
            throw new InputException(field, e.InnerException is PrivateAddressException inner ? inner.Message : $"{uri.Host} could not be read");
        }
    }

    public void Dispose() => _http.Dispose();

    private async ValueTask<(string? ContentType, RentedBytes Bytes)> ReadAsync(Uri uri, string field, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, uri);
        request.Headers.TryAddWithoutValidation(HeaderNames.UserAgent, "myelin");
        request.Headers.TryAddWithoutValidation(HeaderNames.Accept, "image/*");
        using var response = await _http.SendAsync(request, cancellationToken);
        if (response.StatusCode != HttpStatusCode.OK)
        {
            var cure = (int)response.StatusCode is >= 300 and < 400 ? "; redirects are not followed, give the final address" : "";
            throw new InputException(field, $"{uri.Host} answered {(int)response.StatusCode}{cure}");
        }

        var limit = _options.Input.MaxBytes;
        if (response.Content.Headers.ContentLength > limit)
        {
            throw TooLarge(field, uri, limit);
        }

        var bytes = new RentedBytes((int)(response.Content.Headers.ContentLength ?? 64 << 10));
        try
        {
            await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
            int read;
            while ((read = await body.ReadAsync(bytes.Free(16 << 10), cancellationToken)) > 0)
            {
                bytes.Advance(read);
                if (bytes.Length > limit)
                {
                    throw TooLarge(field, uri, limit);
                }
            }

            return (response.Content.Headers.ContentType?.ToString(), bytes);
        }
        catch
        {
            bytes.Dispose();
            throw;
        }
    }

    private static InputException TooLarge(string field, Uri uri, long limit) =>
        new(field, $"{uri.Host} sends more than {limit} bytes (input.maxBytes)", InputErrorCode.TooLarge);
}
