using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Artifacts.S3;

/// <summary>Before anything is accepted: the bucket is there and takes our keys. Waits for a server that is not up yet.</summary>
internal sealed partial class S3Start(IArtifacts artifacts, MyelinOptions options, TimeProvider time, ILogger<S3Start> logger) : IHostedService
{
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(500);

    /// <exception cref="ArtifactsUnavailableException">Not within <see cref="S3Options.StartTimeout"/>, or never: names the cure.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (artifacts is not S3Artifacts bucket)
        {
            return;
        }

        for (var since = time.GetTimestamp(); ;)
        {
            try
            {
                await bucket.CheckAsync(cancellationToken);
                LogReady(options.Artifacts.S3);
                return;
            }
            catch (ArtifactsUnavailableException fault) when (!S3Faults.IsHopeless(fault) && time.GetElapsedTime(since) < options.Artifacts.S3.StartTimeout)
            {
                LogWaiting(options.Artifacts.S3, fault.Message);
            }

            await Task.Delay(s_pause, time, cancellationToken);
        }
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    [LoggerMessage(LogLevel.Information, "Blobs are kept in {Store}")]
    private partial void LogReady(S3Options store);

    [LoggerMessage(LogLevel.Warning, "Waiting for {Store}: {Reason}")]
    private partial void LogWaiting(S3Options store, string reason);
}
