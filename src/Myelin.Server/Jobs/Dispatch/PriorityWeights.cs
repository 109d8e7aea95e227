using System.Globalization;

namespace Myelin.Server.Jobs.Dispatch;

/// <summary>Shares of starts for high, normal and low; each at least 1, so that no class is starved.</summary>
internal sealed record PriorityWeights(int High, int Normal, int Low)
{
    /// <summary>Reads <c>8,3,1</c>.</summary>
    /// <exception cref="FormatException">Not three whole numbers from 1.</exception>
    public static PriorityWeights Parse(string text)
    {
        var parts = text.Split(',', StringSplitOptions.TrimEntries);
        var weights = new int[3];
        for (var i = 0; i < 3; i++)
        {
            if (parts.Length != 3 || !int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out weights[i]) || weights[i] is < 1 or > 1000)
            {
                throw new FormatException($"jobs.weights is '{text}'; it takes three whole numbers from 1 to 1000, such as 8,3,1.");
            }
        }

        return new PriorityWeights(weights[0], weights[1], weights[2]);
    }

    public int Of(JobPriority priority) => priority switch
    {
        JobPriority.High => High,
        JobPriority.Low => Low,
        _ => Normal,
    };
}
