using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Bus.Kafka;

/// <summary>Between the names that the program uses and those on the cluster.</summary>
internal sealed class KafkaNames(MyelinOptions options)
{
    private const int Longest = 249;

    private readonly string _prefix = options.Bus.Kafka.Prefix.TrimEnd('.') is { Length: > 0 } prefix ? Legal(prefix) + "." : "";
    private readonly string _instance = Legal(options.Bus.Kafka.Instance is { Length: > 0 } given ? given : OwnName(options));

    /// <summary>Letters that Kafka does not take in a topic's name, such as the @ of system models, become an underscore.</summary>
    public string Topic(string topic) => _prefix + Legal(topic);

    public string Logical(string name) => name[_prefix.Length..];

    /// <summary>What a consumer subscribes to: a name, or from <c>^</c> on an expression.</summary>
    public string Subscription(TopicPattern pattern) => pattern.IsExact
        ? Topic(pattern.Text)
        : $"^{Regex.Escape(Topic(pattern.Beginning))}.+{Regex.Escape(Legal(pattern.End))}$";

    public string Group(string group) => $"{_prefix}{Legal(options.Bus.Kafka.GroupId)}.{Legal(group)}";

    /// <summary>The same after a restart, so that a member comes back to its partitions; nobody else's.</summary>
    /// <param name="group">As the program names it.</param>
    /// <param name="member">Number of the member within this process.</param>
    public string Member(string group, int member) => $"{_instance}.{Legal(group)}.{member}";

    private static string Legal(string name)
    {
        var legal = string.Create(name.Length, name, static (to, from) =>
        {
            for (var i = 0; i < to.Length; i++)
            {
                to[i] = char.IsAsciiLetterOrDigit(from[i]) || from[i] is '.' or '-' ? from[i] : '_';
            }
        });
        return legal.Length <= Longest ? legal : legal[..Longest];
    }

    private static string OwnName(MyelinOptions options)
    {
        var place = SHA256.HashData(Encoding.UTF8.GetBytes($"{options.Urls}\n{Path.GetFullPath(options.Data)}\n{options.Roles}"));
        return $"{Environment.MachineName}-{Convert.ToHexStringLower(place)[..8]}";
    }
}
