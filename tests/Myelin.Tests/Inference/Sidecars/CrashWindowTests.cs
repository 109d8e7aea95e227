using Myelin.Inference.Runtimes.Sidecars;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Sidecars;

/// <summary>When a sidecar is started again, and when not any more.</summary>
public sealed class CrashWindowTests
{
    private static readonly SidecarOptions s_options = new()
    {
        RunFolder = "",
        MaxCrashes = 5,
        CrashWindow = TimeSpan.FromMinutes(1),
        RestartDelay = TimeSpan.FromMilliseconds(200),
        MaxRestartDelay = TimeSpan.FromSeconds(1),
    };

    private readonly ManualTime _time = new();

    [Fact]
    public void Crashed_InARow_WaitsTwiceAsLongEachTimeUpToTheLongest()
    {
        var window = new CrashWindow(s_options with { MaxCrashes = 100 }, _time);

        var pauses = Enumerable.Range(0, 8).Select(_ => window.Crashed(TimeSpan.FromSeconds(1))!.Value.TotalMilliseconds).ToList();

        for (var i = 0; i < 8; i++)
        {
            var wanted = Math.Min(200 * Math.Pow(2, i), 800); // with its jitter at most the longest
            pauses[i].ShouldBeInRange(wanted * 0.75, wanted * 1.25, $"failure {i + 1}");
        }
    }

    [Fact]
    public void Crashed_TooOftenWithinTheWindow_GivesUp()
    {
        var window = new CrashWindow(s_options, _time);
        for (var i = 0; i < 4; i++)
        {
            window.Crashed(TimeSpan.FromSeconds(1)).ShouldNotBeNull();
            _time.Advance(TimeSpan.FromSeconds(10));
        }

        window.Crashed(TimeSpan.FromSeconds(1)).ShouldBeNull();
    }

    [Fact]
    public void Crashed_SpreadWiderThanTheWindow_NeverGivesUp()
    {
        var window = new CrashWindow(s_options, _time);
        for (var i = 0; i < 50; i++)
        {
            window.Crashed(TimeSpan.FromSeconds(1)).ShouldNotBeNull();
            _time.Advance(TimeSpan.FromSeconds(16));
        }
    }

    [Fact]
    public void Crashed_AfterALongLife_BeginsWithTheShortPause()
    {
        var window = new CrashWindow(s_options with { MaxCrashes = 100 }, _time);
        for (var i = 0; i < 5; i++)
        {
            window.Crashed(TimeSpan.FromSeconds(1));
        }

        window.Crashed(TimeSpan.FromMinutes(2))!.Value.TotalMilliseconds.ShouldBeInRange(150, 250);
    }

    [Fact]
    public void StartFailed_AsOftenInARow_GivesUpHoweverLongEachTook()
    {
        var window = new CrashWindow(s_options, _time);
        for (var i = 0; i < 4; i++)
        {
            window.StartFailed().ShouldNotBeNull();
            _time.Advance(TimeSpan.FromMinutes(5));
        }

        window.StartFailed().ShouldBeNull();
    }

    [Fact]
    public void StartFailed_BetweenLivesThatServed_CountsAnew()
    {
        var window = new CrashWindow(s_options with { MaxCrashes = 3 }, _time);
        for (var i = 0; i < 10; i++)
        {
            window.StartFailed().ShouldNotBeNull();
            window.StartFailed().ShouldNotBeNull();
            window.Crashed(TimeSpan.FromMinutes(3)).ShouldNotBeNull();
            _time.Advance(TimeSpan.FromMinutes(3));
        }
    }
}
