using System.Text.Json;
using Myelin.Inference.Runtimes.Oip;

namespace Myelin.Inference.Runtimes.Http;

/// <summary>
/// Follows one call over a connection of its own. Opened before the call is sent, so that a server that knows the
/// extension misses nothing; a server that only knows running calls is asked again while the call runs. Progress is a
/// courtesy: nothing that goes wrong here fails the call.
/// </summary>
internal sealed class HttpProgress : IAsyncDisposable
{
    private static readonly TimeSpan s_lead = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan s_lastWords = TimeSpan.FromMilliseconds(500);

    private readonly HttpSidecar _server;
    private readonly IProgress<RuntimeProgress> _progress;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _end = new();
    private readonly TaskCompletionSource _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _following;

    private HttpProgress(HttpSidecar server, string call, IProgress<RuntimeProgress> progress, TimeProvider time)
    {
        (_server, _progress, _time) = (server, progress, time);
        _following = FollowAsync(OipExtensions.CallsPath + call);
    }

    /// <summary>Returns when the server listens, or after a short while all the same.</summary>
    public static async Task<HttpProgress> OpenAsync(HttpSidecar server, string call, IProgress<RuntimeProgress> progress, TimeProvider time)
    {
        var following = new HttpProgress(server, call, progress, time);
        await Task.WhenAny(following._opened.Task, Task.Delay(s_lead, time)).ConfigureAwait(false);
        return following;
    }

    /// <summary>The call was answered: what was reported before arrives before this returns, unless the server dawdles.</summary>
    public async ValueTask EndAsync() => await Task.WhenAny(_following, Task.Delay(s_lastWords, _time)).ConfigureAwait(false);

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync().ConfigureAwait(false);
        await _following.ConfigureAwait(false);
        _end.Dispose();
    }

    private async Task FollowAsync(string path)
    {
        try
        {
            while (!await TryFollowAsync(path).ConfigureAwait(false))
            {
                _opened.TrySetResult();
                await Task.Delay(s_pause, _time, _end.Token).ConfigureAwait(false);
            }
        }
        catch (Exception)
        {
            // the call goes on without, whoever's fault it is
        }
        finally
        {
            _opened.TrySetResult();
        }
    }

    /// <summary>False where the server does not know the call yet.</summary>
    private async Task<bool> TryFollowAsync(string path)
    {
        using var answer = await _server.OpenAsync(path, _end.Token).ConfigureAwait(false);
        if (!answer.IsSuccessStatusCode)
        {
            return false;
        }

        _opened.TrySetResult();
        var body = await answer.Content.ReadAsStreamAsync(_end.Token).ConfigureAwait(false);
        await foreach (var data in ServerEvents.ReadAsync(body, "progress", _end.Token).ConfigureAwait(false))
        {
            _progress.Report(Read(data));
        }

        return true;
    }

    private static RuntimeProgress Read(ReadOnlyMemory<byte> data)
    {
        using var json = JsonDocument.Parse(data);
        var root = json.RootElement;
        return new RuntimeProgress(
            (int)Math.Clamp(root.Number("step") ?? 0, 0, int.MaxValue),
            (int)Math.Clamp(root.Number("steps") ?? 0, 0, int.MaxValue),
            root.Text("preview") is { } preview ? Convert.FromBase64String(preview) : default);
    }
}
