using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Models;

/// <summary>Section <c>sidecar</c>: the process, or the server, that executes a model in place of the native runtime.</summary>
public sealed record ModelSidecar
{
    /// <summary>Program and arguments, started in the model's folder, without a shell. Empty: somebody else runs it at <see cref="Addresses"/>.</summary>
    public IReadOnlyList<string> Command { get; init; } = [];

    /// <summary><c>uds</c> or <c>http</c>: what the program that <see cref="Command"/> starts is told to speak.</summary>
    public string Transport { get; init; } = "uds";

    /// <summary>Where sidecars that others run listen; a call goes to the least busy.</summary>
    public IReadOnlyList<SidecarAddress> Addresses { get; init; } = [];

    /// <summary>The sidecar's name for the network, where the task asks for one and the names differ.</summary>
    public string? Model { get; init; }

    /// <summary>Tensors travel through memory that both sides map; uds only.</summary>
    public bool SharedMemory { get; init; } = true;

    /// <summary>From the start of the process, or of connecting, until it can be called.</summary>
    public TimeSpan StartTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Longest call; what is not over then is taken for hung. Null: the server's <c>sidecars.callTimeout</c>.</summary>
    public TimeSpan? CallTimeout { get; init; }

    /// <summary>From SIGTERM to SIGKILL.</summary>
    public TimeSpan StopTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Added to the process's environment.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>Most bytes of memory of one process and its children; null without limit.</summary>
    public long? Memory { get; init; }

    /// <summary>Most processors' worth of time of one process and its children; null without limit.</summary>
    public double? Cpus { get; init; }

    /// <summary>The user to run as; only where the worker is root.</summary>
    public string? User { get; init; }
}
