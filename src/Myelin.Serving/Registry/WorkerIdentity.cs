using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Myelin.Hosting.Configuration;

namespace Myelin.Serving.Registry;

/// <summary>Who this process is among the workers.</summary>
internal sealed class WorkerIdentity(MyelinOptions options)
{
    /// <summary>Machine and process, for people.</summary>
    public string Host { get; } = string.Create(CultureInfo.InvariantCulture, $"{Environment.MachineName}/{Environment.ProcessId}");

    /// <summary>The same after a restart, so that the row is taken up again; nobody else's: machine, address and data folder.</summary>
    public string Id { get; } = $"{Environment.MachineName}-{Place(options)}";

    /// <summary>Eight letters for where on this machine the process lives.</summary>
    public static string Place(MyelinOptions options) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{Environment.MachineName}\n{options.Urls}\n{Path.GetFullPath(options.Data)}\n{options.Roles}")))[..8];
}
