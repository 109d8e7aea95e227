namespace Myelin.Hosting.Artifacts.S3;

/// <summary>
/// Looks now and then whether the bucket answers, also when nobody uses it: a process that got no work because its bucket
/// was away would never hear that it is back. Two looks in a row decide that it is away.
/// </summary>
internal sealed class S3Watch(IArtifacts artifacts, TimeProvider time) : BackgroundService
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(2);

    private volatile string? _away;

    /// <summary>Why it cannot be used now; null while it can.</summary>
    public string? Away => _away;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var missed = 0;
        while (true)
        {
            await Task.Delay(missed == 0 ? s_interval : s_again, time, stoppingToken);
            if (artifacts is not S3Artifacts bucket)
            {
                continue; // a folder is there, or the disk says what is wrong
            }

            try
            {
                await bucket.CheckAsync(stoppingToken);
                (missed, _away) = (0, null);
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                _away = ++missed > 1 ? $"the bucket does not answer: {e.Message}" : null;
            }
        }
    }
}
