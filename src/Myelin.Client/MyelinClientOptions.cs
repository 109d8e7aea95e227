namespace Myelin.Client;

/// <summary>How the client behaves when the network or the server is not at its best.</summary>
public sealed record MyelinClientOptions
{
    /// <summary>Sent as <c>Authorization: Bearer</c> to the server, and only to it. Never part of a message or an exception.</summary>
    public string? ApiKey { get; init; }

    /// <summary>Repeats of one call after 429, 503 or a dropped connection, before its failure is the caller's.</summary>
    public int MaxRetries { get; init; } = 5;

    /// <summary>First back-off where the server gives no <c>Retry-After</c>; doubles each time, with jitter.</summary>
    public TimeSpan RetryDelay { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>Longest back-off, and the longest <c>Retry-After</c> that is waited for; a longer one is thrown at once.</summary>
    public TimeSpan MaxRetryDelay { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>False: a server that refuses the connection is an error at once, as suits a person at a prompt.</summary>
    public bool RetryRefused { get; init; } = true;

    /// <summary>Length of one long poll of <see cref="MyelinClient.WaitAsync"/>; at most <see cref="Limits.Wait"/>.</summary>
    public TimeSpan WaitSlice { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>An event stream that is silent for so long (no event, no keep-alive) counts as dropped.</summary>
    public TimeSpan EventSilence { get; init; } = TimeSpan.FromSeconds(60);

    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}
