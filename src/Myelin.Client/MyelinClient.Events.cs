using System.Globalization;
using System.Net;
using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Myelin.Client;

public sealed partial class MyelinClient
{
    /// <summary>
    /// What happens to a job, live, up to and including its <c>end</c>. A dropped connection is taken up again after the
    /// last event that was seen (<c>Last-Event-ID</c>); no event is given twice. The failure is the caller's once
    /// <see cref="MyelinClientOptions.MaxRetries"/> connections in a row brought nothing.
    /// </summary>
    /// <param name="after">Id of the last event already seen; 0 for all.</param>
    public async IAsyncEnumerable<JobEvent> EventsAsync(string id, long after, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        for (var fruitless = 0; ; fruitless++)
        {
            var ended = false;
            Exception? drop = null;
            var connection = ReadEventsAsync(id, after, cancellationToken).GetAsyncEnumerator(cancellationToken);
            await using (connection.ConfigureAwait(false))
            {
                while (!ended)
                {
                    JobEvent current;
                    try
                    {
                        if (!await connection.MoveNextAsync().ConfigureAwait(false))
                        {
                            break;
                        }

                        if (connection.Current is not { } next)
                        {
                            yield break;
                        }

                        current = next;
                    }
                    catch (Exception e) when (IsDrop(e, cancellationToken))
                    {
                        drop = e;
                        break;
                    }

                    fruitless = 0;
                    if (current.Id <= after)
                    {
                        continue;
                    }

                    after = current.Id;
                    ended = current.Kind == "end";
                    yield return current;
                }
            }

            if (ended)
            {
                yield break;
            }

            if (fruitless >= options.MaxRetries)
            {
                throw new MyelinUnreachableException(Server, drop ?? new IOException("The event stream keeps closing before the job's end."));
            }

            await _transport.BackoffAsync(fruitless, cancellationToken).ConfigureAwait(false);
        }
    }

    public IAsyncEnumerable<JobEvent> EventsAsync(string id, CancellationToken cancellationToken) => EventsAsync(id, 0, cancellationToken);

    private async IAsyncEnumerable<JobEvent?> ReadEventsAsync(string id, long after, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        HttpRequestMessage Request()
        {
            var request = new HttpRequestMessage(HttpMethod.Get, _transport.Resolve(JobPath(id) + "/events"));
            request.Headers.Accept.ParseAdd("text/event-stream");
            if (after > 0)
            {
                request.Headers.Add("Last-Event-ID", after.ToString(CultureInfo.InvariantCulture));
            }

            return request;
        }

        using var response = await _transport.SendAsync(Request, static () => true, cancellationToken).ConfigureAwait(false);
        if (response.StatusCode == HttpStatusCode.NoContent)
        {
            yield return null; // The job has ended and the caller has seen that.
            yield break;
        }

        var body = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        using var guarded = new SilenceGuard(body, options.EventSilence, options.TimeProvider);
        var parser = SseParser.Create(guarded, static (_, data) => JsonSerializer.Deserialize(data, JsonContext.Default.JobEvent)
            ?? throw new JsonException("An event without data."));
        await foreach (var item in parser.EnumerateAsync(cancellationToken).ConfigureAwait(false))
        {
            yield return item.Data;
        }
    }

    // TimeoutException: silence. A cancelled token is the caller's and never a drop.
    private static bool IsDrop(Exception e, CancellationToken cancellationToken) =>
        !cancellationToken.IsCancellationRequested && e is HttpRequestException or IOException or TimeoutException;
}
