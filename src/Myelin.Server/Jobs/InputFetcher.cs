using System.Net;
using Microsoft.Net.Http.Headers;
using Myelin.Inference.Tasks;
using Myelin.Server.Configuration;
using Myelin.Server.Web;

namespace Myelin.Server.Jobs;

/// <summary>
/// Fetches inputs by URL, where the options allow it: only from the hosts they name, never from a private address, no
/// redirects, bounded in bytes and time. What goes wrong is the caller's input, so it names his field.
/// </summary>
internal sealed class InputFetcher : IDisposable
{
    private readonly HttpMessageInvoker _http;
    private readonly MyelinOptions _options;
    private readonly TimeProvider _time;
    private readonly string[] _hosts;

    public InputFetcher(MyelinOptions options, TimeProvider time) : this(options, time, allowPrivate: false)
    {
    }

    /// <param name="allowPrivate">True only for tests, whose servers are on loopback.</param>
    internal InputFetcher(MyelinOptions options, TimeProvider time, bool allowPrivate)
    {
        (_options, _time) = (options, time);
        _http = OutboundHttp.Create(allowPrivate, options.Input.UrlTimeout);
        _hosts = options.Input.UrlHosts.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
    }

    /// <exception cref="InputException">Not allowed, not reached, not answered, or too large.</exception>
    public async ValueTask<(string? ContentType, RentedBytes Bytes)> FetchAsync(string url, string field, CancellationToken cancellationToken)
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
        try
        {
            return await ReadAsync(uri, field, either.Token);
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
