using Myelin.Hosting.Configuration;
using Myelin.Hosting.Web;

namespace Myelin.Jobs.OpenTopics;

/// <summary>Which models work from Kafka may use.</summary>
internal sealed class AllowedModels(MyelinOptions options)
{
    private readonly HashSet<string> _names = [.. options.OpenTopics.Models.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)];

    /// <summary>Why <paramref name="model"/> is not for Kafka; null where it is, or where none is named.</summary>
    public Problem? Refusal(string? model) => model is null || _names.Contains("*") || _names.Contains(model)
        ? null
        : Problems.Field(ProblemTypes.Forbidden, "model", $"'{(model.Length <= 64 ? model : model[..64])}' is not open to Kafka (openTopics.models)");
}
