using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Myelin.Hosting.Configuration;

/// <summary>How processes of one installation trust each other.</summary>
internal sealed record ClusterOptions
{
    [Description("Secret that gateways show to workers, at least 16 characters, the same everywhere. Needed where worker.listen is not loopback. Set it in the environment.")]
    [Form(Form.HeaderSecret)]
    public string Key { get; init; } = "";

    /// <summary>Never the key.</summary>
    public override string ToString() => Key.Length == 0 ? "no cluster key" : "a cluster key";
}

/// <summary>Synchronous calls: a caller waits for the answer, nothing is stored.</summary>
internal sealed record CallsOptions
{
    [Description("Synchronous calls that one worker has at a time; more are refused, and the gateway tries another worker.")]
    [Range(1, 100_000)]
    public int AtOnce { get; init; } = 64;

    [Description("Longest wait of a gateway for the answer to a synchronous call.")]
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00")]
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(60);

    [Description("Longest wait of a gateway for a connection to a worker; then it tries another.")]
    [Range(typeof(TimeSpan), "00:00:00.05", "00:01:00")]
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(2);
}
