using Myelin.Inference.Tasks.Generation;

namespace Myelin.Server.Images;

/// <summary>The sampler names that AUTOMATIC1111's clients show, and ours.</summary>
internal static class A1111Samplers
{
    /// <summary>Our name; newer clients send the schedule apart from the sampler.</summary>
    public static string? Find(string sampler, string? schedule)
    {
        var full = schedule is not null && schedule.Equals("karras", StringComparison.OrdinalIgnoreCase) && !sampler.EndsWith("Karras", StringComparison.OrdinalIgnoreCase)
            ? $"{sampler} Karras"
            : sampler;
        return Named(full) ?? Named(sampler);
    }

    public static string Theirs(string ours) => Samplers.All.FirstOrDefault(s => s.Name == ours).Title ?? ours;

    private static string? Named(string text) => Samplers.All.FirstOrDefault(s => Same(s.Title, text) || Same(s.Name, text)).Name;

    private static bool Same(string a, string b) => a.Equals(b, StringComparison.OrdinalIgnoreCase);
}
