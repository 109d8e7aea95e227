using System.Diagnostics;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Generation;

/// <summary>Alone in the process: it reads the process's memory.</summary>
[Collection(nameof(GenerationMemoryTests))]
[CollectionDefinition(nameof(GenerationMemoryTests), DisableParallelization = true)]
public sealed class GenerationMemoryTests
{
    private static readonly CancellationToken s_token = TestContext.Current.CancellationToken;

    [Fact]
    public async Task Run_TwoHundredGenerations_MemoryDoesNotGrow()
    {
        await using var task = await Generations.LoadAsync("tiny-sd");
        var readings = new List<double>();
        for (var i = 0; i < 250; i++)
        {
            await task.RunAsync(Generations.Input(new { prompt = $"number {i} of many {Guid.NewGuid()}", steps = 2, sampler = "euler-a" }), new Events(), s_token);
            if (i >= 50)
            {
                readings.Add(ResidentMegabytes());
            }
        }

        // Means of quarters: single readings wobble with the collector.
        var (first, last) = (readings.Take(50).Average(), readings.TakeLast(50).Average());
        TestContext.Current.SendDiagnosticMessage($"resident memory: {first:F1} MB in generations 50–100, {last:F1} MB in 200–250");
        (last - first).ShouldBeLessThan(16);
    }

    private static double ResidentMegabytes()
    {
        GC.Collect();
        using var process = Process.GetCurrentProcess();
        return process.WorkingSet64 / 1e6;
    }
}
