using Myelin.Protocol;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Protocol;

public sealed class BackoffTests
{
    [Theory]
    [InlineData(0, 1.5, 2.5)]
    [InlineData(1, 1.5, 2.5)]
    [InlineData(2, 3, 5)]
    [InlineData(4, 12, 20)]
    [InlineData(6, 36, 60)]
    [InlineData(1000, 36, 60)]
    public void After_Failures_DoublesWithinItsJitter(int failures, double least, double most)
    {
        var waits = Enumerable.Range(0, 1000).Select(_ => Backoff.After(TimeSpan.FromSeconds(2), failures, TimeSpan.FromMinutes(1)).TotalSeconds).ToList();

        waits.ShouldAllBe(wait => wait >= least && wait <= most);
        waits.Distinct().Count().ShouldBeGreaterThan(900, "what failed together must not return together");
    }
}
