namespace Myelin.Benchmarks;

/// <summary>A benchmark in parts, each of which may be asked for by its name.</summary>
internal static class Parts
{
    /// <param name="wanted">Names; none for all.</param>
    /// <param name="all">In the order of their run.</param>
    public static async Task RunAsync(string[] wanted, params (string Name, Func<Task> Run)[] all)
    {
        if (wanted.Except(all.Select(part => part.Name)).ToArray() is { Length: > 0 } unknown)
        {
            Console.WriteLine($"no part {string.Join(", ", unknown)}; there are: {string.Join(", ", all.Select(part => part.Name))}");
            return;
        }

        foreach (var (name, run) in all)
        {
            if (wanted.Length == 0 || wanted.Contains(name))
            {
                await run();
            }
        }
    }
}
