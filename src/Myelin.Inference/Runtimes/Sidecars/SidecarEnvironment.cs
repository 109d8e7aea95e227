using System.Globalization;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Sidecars.Processes;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Sidecars;

/// <summary>The environment and the arguments that a sidecar is started with: docs/sidecar-protocol.md, "How a sidecar is started".</summary>
internal static class SidecarEnvironment
{
    private static readonly string[] s_inherited = ["PATH", "HOME", "LANG", "TMPDIR"];

    public static IReadOnlyDictionary<string, string> Of(ModelDefinition definition, SidecarAddress address, SystemUser? user)
    {
        var variables = new Dictionary<string, string>();
        foreach (var name in s_inherited)
        {
            if (Environment.GetEnvironmentVariable(name) is { Length: > 0 } value)
            {
                variables[name] = value;
            }
        }

        if (user is not null)
        {
            variables["HOME"] = user.Home;
        }

        if (Devices(definition.Instances.Device, Environment.GetEnvironmentVariable(Visible)) is { } devices)
        {
            variables[Visible] = devices;
        }

        foreach (var (name, value) in definition.Sidecar!.Environment)
        {
            variables[name] = Fill(value, definition, address);
        }

        variables["MYELIN_SIDECAR_LISTEN"] = address.ToString().TrimEnd('/');
        variables["MYELIN_MODEL_NAME"] = definition.Name;
        variables["MYELIN_MODEL_REVISION"] = definition.Revision;
        variables["MYELIN_MODEL_FOLDER"] = definition.ModelFolder;
        variables["MYELIN_REVISION_FOLDER"] = definition.Folder;
        return variables;
    }

    private const string Visible = "CUDA_VISIBLE_DEVICES";

    /// <summary>Words for programs that know nothing of the variables: <c>{port}</c>, <c>{socket}</c>, <c>{address}</c>, <c>{folder}</c>.</summary>
    public static string Fill(string text, ModelDefinition definition, SidecarAddress address) => text
        .Replace("{port}", address.Endpoint?.Port.ToString(CultureInfo.InvariantCulture) ?? "{port}", StringComparison.Ordinal)
        .Replace("{socket}", address.Path ?? "{socket}", StringComparison.Ordinal)
        .Replace("{address}", address.ToString().TrimEnd('/'), StringComparison.Ordinal)
        .Replace("{folder}", definition.Folder, StringComparison.Ordinal);

    /// <summary>True where the program wants a TCP port, as servers of others do.</summary>
    public static bool WantsPort(ModelSidecar sidecar) =>
        sidecar.Command.Concat(sidecar.Environment.Values).Any(text => text.Contains("{port}", StringComparison.Ordinal));

    /// <summary>
    /// What the sidecar sees of the worker's GPUs: nothing for <c>cpu</c>, all for <c>cuda</c>, one for <c>cuda:n</c>, counted
    /// among those that the worker itself sees.
    /// </summary>
    /// <returns>Null: the variable is not set.</returns>
    internal static string? Devices(string device, string? visible)
    {
        if (!device.StartsWith("cuda", StringComparison.Ordinal))
        {
            return "";
        }

        if (device.Split(':') is not [_, var index])
        {
            return visible;
        }

        var own = visible?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return own is null ? index : own.ElementAtOrDefault(int.Parse(index, CultureInfo.InvariantCulture)) ?? "";
    }
}
