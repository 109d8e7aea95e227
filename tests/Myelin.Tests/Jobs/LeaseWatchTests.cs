using Myelin.Hosting.Work;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Jobs;

public sealed class LeaseWatchTests
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_lease = TimeSpan.FromSeconds(15);

    private readonly ManualTime _time = new();
    private readonly LeaseWatch _watch;
    private DateTimeOffset _value;

    public LeaseWatchTests() => (_watch, _value) = (new LeaseWatch(_time, s_interval, s_lease), _time.GetUtcNow());

    [Fact]
    public void Look_SilentForItsWholeLease_Lapses()
    {
        Looks(15).ShouldBe(0);
        Look().ShouldBe(1);
    }

    [Fact]
    public void Look_BeatsGoOn_NeverLapses()
    {
        for (var i = 0; i < 20; i++)
        {
            Looks(14).ShouldBe(0);
            _value += TimeSpan.FromMicroseconds(1);
        }
    }

    /// <summary>Forward and back, for whoever judges and in what the beats write.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public void Look_ClockJumpsAnHour_ChangesNothing(int hours)
    {
        Looks(10).ShouldBe(0);
        _time.Jump(TimeSpan.FromHours(hours));
        Looks(5).ShouldBe(0);
        _value = _time.GetUtcNow();
        Looks(15).ShouldBe(0);
        Look().ShouldBe(1);
    }

    [Fact]
    public void Look_AfterAPauseOfTheJudge_GivesAWholeLeaseOfGrace()
    {
        Looks(14).ShouldBe(0);
        for (var pause = 0; pause < 3; pause++)
        {
            _time.Advance(TimeSpan.FromSeconds(20));
            Looks(15).ShouldBe(0);
        }

        Look().ShouldBe(1);
    }

    /// <summary>The answer comes from before the pause.</summary>
    [Fact]
    public void Look_PausedBetweenQuestionAndAnswer_DoesNotCountThePause()
    {
        Looks(14).ShouldBe(0);
        var asked = _time.GetTimestamp();
        _time.Advance(TimeSpan.FromSeconds(20));
        _watch.Look(asked, Held()).Length.ShouldBe(0);
        Looks(15).ShouldBe(0);
    }

    [Fact]
    public void Look_HolderSaidHowLongItMayBeSilent_GoesByThat()
    {
        for (var i = 0; i < 61; i++)
        {
            _watch.Look(_time.GetTimestamp(), Held(TimeSpan.FromMinutes(1))).Length.ShouldBe(i < 60 ? 0 : 1);
            _time.Advance(s_interval);
        }
    }

    private int Looks(int count) => Enumerable.Range(0, count).Sum(_ => Look());

    private int Look()
    {
        var lapsed = _watch.Look(_time.GetTimestamp(), Held()).Length;
        _time.Advance(s_interval);
        return lapsed;
    }

    private HeldLease[] Held(TimeSpan? duration = null) => [new HeldLease("job", "token", _value, duration)];
}
