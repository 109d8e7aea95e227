using System.Diagnostics;
using System.Runtime.CompilerServices;
using Xunit;

namespace Myelin.Testing;

/// <summary>Waits by looking, for what has no signal; the longer it takes, the seldomer it looks.</summary>
public static class Wait
{
    /// <summary>Longer than anything takes that works, also on a machine with much else to do.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(3);

    /// <param name="condition">True at last; where it never is, the test fails.</param>
    /// <param name="what">Is waited for: the condition's own text unless said better.</param>
    /// <param name="state">How things stand when the wait is given up.</param>
    public static Task UntilAsync(Func<bool> condition, [CallerArgumentExpression(nameof(condition))] string what = "", Func<string>? state = null) =>
        UntilAsync(() => Task.FromResult(condition()), what, state);

    /// <inheritdoc cref="UntilAsync(Func{bool}, string, Func{string})"/>
    public static async Task UntilAsync(Func<Task<bool>> condition, [CallerArgumentExpression(nameof(condition))] string what = "", Func<string>? state = null)
    {
        for (var clock = Stopwatch.StartNew(); !await condition(); await Task.Delay((int)Math.Clamp(clock.ElapsedMilliseconds / 10, 5, 100)))
        {
            if (clock.Elapsed > s_patience)
            {
                Assert.Fail($"not within {s_patience}: {what}\n{state?.Invoke()}");
            }
        }
    }
}
