using System.Globalization;

namespace Myelin.Inference.Runtimes.Sidecars.Processes;

/// <summary>A user of this machine, from /etc/passwd.</summary>
internal sealed record SystemUser(string Name, uint Id, uint Group, string Home)
{
    /// <param name="name">A name or a number.</param>
    /// <returns>Null where there is none.</returns>
    public static SystemUser? Find(string name)
    {
        foreach (var line in File.ReadLines("/etc/passwd"))
        {
            var fields = line.Split(':');
            if (fields.Length >= 6 && (fields[0] == name || fields[2] == name)
                && uint.TryParse(fields[2], CultureInfo.InvariantCulture, out var id) && uint.TryParse(fields[3], CultureInfo.InvariantCulture, out var group))
            {
                return new SystemUser(fields[0], id, group, fields[5]);
            }
        }

        return null;
    }
}
