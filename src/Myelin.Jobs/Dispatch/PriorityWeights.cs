using System.Globalization;
using Myelin.Hosting.Configuration;

namespace Myelin.Jobs.Dispatch;

/// <summary>Shares of starts for high, normal and low; each at least 1, so that no class is starved.</summary>
internal sealed record PriorityWeights(int High, int Normal, int Low)
{
    /// <summary>Reads <c>8,3,1</c>; null unless it is three whole numbers from 1 to 1000.</summary>
    public static PriorityWeights? TryParse(string text)
    {
        var parts = text.Split(',', StringSplitOptions.TrimEntries);
        var weights = parts.Select(p => int.TryParse(p, NumberStyles.None, CultureInfo.InvariantCulture, out var weight) ? weight : 0).ToArray();
        return weights.Length == 3 && weights.All(w => w is >= 1 and <= 1000) ? new PriorityWeights(weights[0], weights[1], weights[2]) : null;
    }

    public static IEnumerable<string> Errors(MyelinOptions options)
    {
        if (TryParse(options.Jobs.Weights) is null)
        {
            yield return $"jobs.weights: '{options.Jobs.Weights}' is not three whole numbers from 1 to 1000, such as 8,3,1";
        }
    }

    public int Of(JobPriority priority) => priority switch
    {
        JobPriority.High => High,
        JobPriority.Low => Low,
        _ => Normal,
    };
}
