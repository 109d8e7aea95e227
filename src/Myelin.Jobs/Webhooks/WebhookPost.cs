using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Web;
using Myelin.Jobs.Store;

namespace Myelin.Jobs.Webhooks;

/// <summary>How one attempt went. <paramref name="Error"/> is null when it was delivered.</summary>
/// <param name="Final">True where another attempt can change nothing.</param>
/// <param name="Endless">True where it is tried until it works.</param>
internal sealed record PostResult(string? Error, bool Final = false, bool Endless = false);

/// <summary>
/// One attempt: the finished job as JSON, signed, to the callback's address. The answer's status is all that is read;
/// redirects are failures, private addresses are refused on the connected address.
/// </summary>
internal sealed class WebhookPost(MyelinOptions options, JobService jobs, BusPost bus, TimeProvider time) : IDisposable
{
    private readonly HttpMessageInvoker _http = OutboundHttp.Create(options.Webhooks.AllowPrivate, options.Webhooks.Timeout);
    private readonly Lock _keyLock = new();
    private byte[]? _serverKey;

    /// <summary>The setting's; without one, read or made when first needed: a failure (a full disk) is not kept, the next attempt tries again.</summary>
    private byte[] ServerKey()
    {
        lock (_keyLock)
        {
            return _serverKey ??= WebhookSecret.Key(options.Webhooks.Secret is { Length: > 0 } given ? given : WebhookSecret.LoadOrCreate(Path.GetFullPath(options.Data)));
        }
    }

    public async Task<PostResult> SendAsync(WebhookDelivery delivery, CancellationToken cancellationToken)
    {
        if (await jobs.GetAsync(delivery.Job, cancellationToken) is not { } job)
        {
            return new PostResult("the job is no longer known", Final: true);
        }

        if (delivery.Callback.Url == WebhookTarget.Bus)
        {
            return await bus.SendAsync(job, cancellationToken);
        }

        using var late = new CancellationTokenSource(options.Webhooks.Timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        try
        {
            using var request = Request(delivery, job);
            using var response = await _http.SendAsync(request, either.Token);
            return response.StatusCode switch
            {
                >= HttpStatusCode.OK and < HttpStatusCode.MultipleChoices => new PostResult(null),
                HttpStatusCode.Gone => new PostResult("the receiver answered 410: it wants no more", Final: true),
                var status => new PostResult($"the receiver answered {(int)status}"),
            };
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            return new PostResult($"no answer within {options.Webhooks.Timeout.TotalSeconds:0.#} s");
        }
        catch (HttpRequestException e) when (e is PrivateAddressException || e.InnerException is PrivateAddressException)
        {
            // The name may lead elsewhere later, but a name that leads inside is not worth eight calls.
            return new PostResult((e as PrivateAddressException ?? e.InnerException)!.Message, Final: true);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            return new PostResult(e.Message);
        }
    }

    public void Dispose() => _http.Dispose();

    private HttpRequestMessage Request(WebhookDelivery delivery, JobRecord job)
    {
        var body = JsonReply.Serialize(jobs.Describe(job, position: null)).WrittenSpan.ToArray();
        var key = delivery.Callback.Secret is { } own ? WebhookSecret.Key(own) : ServerKey();
        var timestamp = time.GetUtcNow().ToUnixTimeSeconds();
        var request = new HttpRequestMessage(HttpMethod.Post, delivery.Callback.Url) { Content = new ByteArrayContent(body) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Headers.TryAddWithoutValidation("User-Agent", "myelin");
        request.Headers.TryAddWithoutValidation(WebhookSignature.IdHeader, delivery.Job);
        request.Headers.TryAddWithoutValidation(WebhookSignature.TimestampHeader, timestamp.ToString(CultureInfo.InvariantCulture));
        request.Headers.TryAddWithoutValidation(WebhookSignature.SignatureHeader, WebhookSignature.Sign(key, delivery.Job, timestamp, body));
        return request;
    }
}
