using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Http;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Sidecars.Connections;

/// <summary>An address → a connection, by the transport that the address names.</summary>
internal static class SidecarConnector
{
    /// <summary>Waits until the sidecar is ready.</summary>
    /// <param name="address">Where it listens, or will.</param>
    /// <param name="definition">The model it belongs to.</param>
    /// <param name="networks">What the task will ask for.</param>
    /// <param name="options">Limits and times.</param>
    /// <param name="startTimeout">How long it may take to listen, and then to be ready.</param>
    /// <param name="ringFolder">Where the shared memory's file is made.</param>
    /// <param name="owner">Whose that file is to be; null for the worker's own user.</param>
    /// <param name="time">The clock of waits and health checks.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="RuntimeException">It is not there, cannot serve, or lacks a network.</exception>
    public static async Task<ISidecarConnection> ConnectAsync(
        SidecarAddress address, ModelDefinition definition, IReadOnlyList<SidecarNetwork> networks, SidecarOptions options, TimeSpan startTimeout, string ringFolder, (uint User, uint Group)? owner, TimeProvider time, CancellationToken cancellationToken)
    {
        var sidecar = definition.Sidecar!;
        var callTimeout = sidecar.CallTimeout ?? options.CallTimeout;
        if (address.Transport == SidecarTransport.Http)
        {
            var http = new HttpOptions
            {
                Address = address,
                StartTimeout = startTimeout,
                CallTimeout = callTimeout,
                ControlTimeout = options.HealthTimeout / 2,
                Concurrency = Math.Max(definition.Instances.Count, 1),
                Time = time,
            };
            return await HttpServer.ConnectAsync(http, networks, options, time, cancellationToken).ConfigureAwait(false);
        }

        var uds = new UdsOptions
        {
            SocketPath = address.Path!,
            SharedMemory = sidecar.SharedMemory,
            RingFolder = ringFolder,
            RingOwner = owner,
            InputRingBytes = options.RingBytes / 2,
            OutputRingBytes = options.RingBytes / 2,
            ConnectTimeout = startTimeout,
            ReadyTimeout = startTimeout,
            CallTimeout = callTimeout,
            CancelTimeout = options.CancelTimeout,
            PingInterval = options.HealthInterval,
            PingTimeout = options.HealthTimeout,
        };
        return await UdsSidecar.ConnectAsync(uds, time, cancellationToken).ConfigureAwait(false);
    }
}
