using System.Net;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Configuration;

namespace Myelin.Serving.Registry;

/// <summary>
/// Where gateways call this worker: a Unix socket that only the same user can open, for those on the same machine, and
/// an address for the others where <c>worker.listen</c> names one. HTTP/2 without TLS on both. Connections that come in
/// here are marked, so that nothing else of the server answers them and nothing here answers anybody else.
/// </summary>
/// <param name="Socket">Path; null where this process is no worker of several.</param>
/// <param name="Listen">Null where only the socket is served.</param>
/// <param name="Address">What gateways are told.</param>
internal sealed record WorkerListener(string? Socket, BindingAddress? Listen, string? Address)
{
    /// <summary>The kernel takes no longer path.</summary>
    private const int LongestPath = 100;

    public bool IsOpen => Socket is not null;

    public static WorkerListener Of(MyelinOptions options)
    {
        if (!options.Runs(Role.Worker) || options.Topology == Topology.Alone)
        {
            return new WorkerListener(null, null, null);
        }

        var listen = options.Worker.Listen.Length == 0 ? null : BindingAddress.Parse(options.Worker.Listen);
        return new WorkerListener(SocketPath(options), listen, listen is null ? null : AddressOf(options, listen));
    }

    /// <summary>Why it must not listen there, with the cure; null where it may.</summary>
    public static IEnumerable<string> Errors(MyelinOptions options)
    {
        if (options.Worker.Listen.Length == 0)
        {
            yield break;
        }

        if (!Uri.TryCreate(options.Worker.Listen.Replace("//*", "//0.0.0.0", StringComparison.Ordinal).Replace("//+", "//0.0.0.0", StringComparison.Ordinal), UriKind.Absolute, out var listen)
            || listen.Scheme != "http" || listen.Port <= 0 || listen.AbsolutePath != "/")
        {
            yield return $"worker.listen: '{options.Worker.Listen}' must be http://address:port, with a port of its own";
        }
        else if (FormAttribute.Addresses(options.Urls).Any(url => BindingAddress.Parse(url) is { IsUnixPipe: false } own && own.Port == listen.Port))
        {
            yield return $"worker.listen: port {listen.Port} is that of urls; it needs one of its own";
        }
        else if (!ListenCheck.IsLoopbackOnly(options.Worker.Listen) && options.Cluster.Key.Length == 0)
        {
            yield return $"worker.listen: anybody who reaches {options.Worker.Listen} could use the models; set cluster.key (MYELIN_CLUSTER_KEY), the same for all processes, or listen on loopback";
        }
    }

    /// <summary>Kestrel's addresses; makes the socket's folder and clears what an earlier life of this process left there.</summary>
    public IEnumerable<string> Urls()
    {
        if (Socket is null)
        {
            yield break;
        }

        var folder = Path.GetDirectoryName(Socket)!;
        Directory.CreateDirectory(folder);
        if (!OperatingSystem.IsWindows())
        {
            // Who may open the folder may call the worker.
            File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        File.Delete(Socket);
        yield return $"http://unix:{Socket}";
        if (Listen is not null)
        {
            yield return Listen.ToString();
        }
    }

    /// <summary>Marks an endpoint of Kestrel as this listener, where it is.</summary>
    public void Mark(ListenOptions endpoint)
    {
        if (Socket is not null && (endpoint.SocketPath == Socket || (Listen is not null && endpoint.IPEndPoint?.Port == Listen.Port)))
        {
            endpoint.Protocols = HttpProtocols.Http2;
            endpoint.Use(next => connection =>
            {
                connection.Features.Set(this);
                return next(connection);
            });
        }
    }

    private static string SocketPath(MyelinOptions options)
    {
        var name = $"worker-{WorkerIdentity.Place(options)}.sock";
        var beside = Path.Combine(Path.GetFullPath(options.Data), "sockets", name);
        return beside.Length <= LongestPath ? beside : Path.Combine(Path.GetTempPath(), $"myelin-{Environment.UserName}", name);
    }

    private static string AddressOf(MyelinOptions options, BindingAddress listen)
    {
        if (options.Worker.Address.Length > 0)
        {
            return options.Worker.Address.TrimEnd('/');
        }

        var everywhere = listen.Host is "*" or "+" || (IPAddress.TryParse(listen.Host.Trim('[', ']'), out var ip) && (ip.Equals(IPAddress.Any) || ip.Equals(IPAddress.IPv6Any)));
        return $"http://{(everywhere ? Environment.MachineName : listen.Host)}:{listen.Port}";
    }
}
