namespace Myelin.Hosting.Health;

internal static class Loops
{
    /// <summary>Loops that stand and fall together: ends with the first one that ends, and as that one did.</summary>
    public static async Task TogetherAsync(params IEnumerable<Task> loops) => await await Task.WhenAny(loops);
}
