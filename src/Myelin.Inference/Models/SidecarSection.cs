using System.Text.RegularExpressions;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Models;

/// <summary>Reads the section <c>sidecar</c> of <c>model.yaml</c>.</summary>
internal static partial class SidecarSection
{
    private static readonly TimeSpan s_longest = TimeSpan.FromHours(24);
    private static readonly string[] s_process = ["environment", "memory", "cpus", "user"];
    private static readonly string[] s_transports = ["uds", "http"];

    /// <param name="section">The section.</param>
    /// <param name="runtime">The key <c>runtime</c>: <c>uds</c> and <c>http</c> mean a sidecar and say how it is spoken to.</param>
    /// <returns>Null where no sidecar is meant: the keys are checked all the same.</returns>
    public static ModelSidecar? Read(SettingsReader section, string runtime)
    {
        var otherwise = new ModelSidecar();
        var sidecar = new ModelSidecar
        {
            Command = section.Texts("command", 256) ?? [],
            Transport = section.Text("transport", choices: s_transports) ?? (s_transports.Contains(runtime) ? runtime : otherwise.Transport),
            Addresses = Addresses(section),
            Model = section.Text("model"),
            SharedMemory = section.Flag("sharedMemory") ?? otherwise.SharedMemory,
            StartTimeout = section.Duration("startTimeout", s_longest) ?? otherwise.StartTimeout,
            CallTimeout = section.Duration("callTimeout", s_longest),
            StopTimeout = section.Duration("stopTimeout", s_longest) ?? otherwise.StopTimeout,
            Environment = section.TextMap("environment", 256) ?? otherwise.Environment,
            Memory = section.Size("memory", 16L << 20, 1L << 50),
            Cpus = section.Number("cpus", 0.01, 4096),
            User = section.Text("user"),
        };
        if (runtime is not ("sidecar" or "uds" or "http"))
        {
            if (section.Present)
            {
                section.Error("", $"is not read with `runtime: {runtime}`; write runtime: uds or http, or remove the section");
            }

            return null;
        }

        Check(section, sidecar, runtime);
        return sidecar;
    }

    private static void Check(SettingsReader section, ModelSidecar sidecar, string runtime)
    {
        if (s_transports.Contains(runtime) && sidecar.Transport != runtime)
        {
            section.Error("transport", $"is {sidecar.Transport}, but `runtime` says {runtime}; write it in one place");
        }

        if (s_transports.Contains(runtime) && sidecar.Addresses.FirstOrDefault(address => Name(address.Transport) != runtime) is { } other)
        {
            section.Error("addresses", $"has '{other}', which is spoken to over {Name(other.Transport)}, but `runtime` says {runtime}; write runtime: sidecar");
        }

        if (sidecar.Command.Count == 0 && sidecar.Addresses.Count == 0 && !section.Has("address") && !section.Has("addresses"))
        {
            section.Error("command", "is missing; the program to start, such as [python3, serve.py], or `address` of one that runs");
        }

        if (sidecar.Command.Count > 0 && sidecar.Addresses.Count > 0)
        {
            section.Error("command", "stands beside `address`: either the program is started here, or one that runs is called");
        }

        if (sidecar.Command is ["", ..])
        {
            section.Error("command", "begins with nothing; its first word is the program");
        }

        foreach (var key in sidecar.Command.Count == 0 ? s_process.Where(section.Has) : [])
        {
            section.Error(key, "is read only for a program that `command` starts; remove it");
        }

        foreach (var (name, value) in sidecar.Environment)
        {
            if (!VariablePattern().IsMatch(name) || name.StartsWith("MYELIN_", StringComparison.Ordinal) || value.Contains('\0'))
            {
                section.Error("environment", $"holds '{name}'; a name has letters, digits and _, and does not begin with MYELIN_");
            }
        }

        if (sidecar.User is { } user && !UserPattern().IsMatch(user))
        {
            section.Error("user", $"is '{user}', but must be the name or number of a user");
        }
    }

    private static string Name(SidecarTransport transport) => transport.ToString().ToLowerInvariant();

    private static List<SidecarAddress> Addresses(SettingsReader section)
    {
        var texts = section.Text("address") is { } one ? [one] : section.Texts("addresses", 64) ?? [];
        var addresses = new List<SidecarAddress>();
        foreach (var text in texts)
        {
            if (SidecarAddress.TryParse(text, out var address))
            {
                addresses.Add(address);
            }
            else
            {
                section.Error(section.Has("address") ? "address" : "addresses", $"'{text}' is no address; write unix:/path.sock (at most {SidecarAddress.MaxPathBytes} bytes), http+unix:/path.sock or http://host:port");
            }
        }

        return addresses;
    }

    [GeneratedRegex("^[A-Za-z_][A-Za-z0-9_]{0,255}$", RegexOptions.None, 1000)]
    private static partial Regex VariablePattern();

    [GeneratedRegex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$", RegexOptions.None, 1000)]
    private static partial Regex UserPattern();
}
