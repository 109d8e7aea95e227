using System.Text;
using Microsoft.Extensions.Logging;
using Myelin.Jobs.Attempts;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Workers;

public sealed class FailureLogTests
{
    private readonly ManualTime _time = new();
    private readonly Lines _lines = new();

    private FailureLog Log => field ??= new FailureLog(_time, _lines);

    [Fact]
    public void Write_MessageWithWhatTheCallerSent_SaysWhyWithoutIt()
    {
        var parameters = Encoding.UTF8.GetBytes("""{"prompt":"my secret cat","steps":3,"more":[{"negative":"ugly dog"}]}""");

        Log.Write("Job 1, attempt 2", "painter", parameters, new InvalidOperationException("no memory for 'My secret cat' without ugly dog\nTraceback: secret"));

        _lines.Warnings.ShouldBe(["Job 1, attempt 2 failed on painter: InvalidOperationException: no memory for '[input]' without [input]"]);
    }

    [Fact]
    public void Write_LongMessage_IsCut()
    {
        Log.Write("Job 1, attempt 1", "m", default, new InvalidOperationException(new string('x', 10_000)));

        _lines.Warnings.ShouldHaveSingleItem().Length.ShouldBeLessThan(FailureLog.Length + 100);
    }

    [Fact]
    public void Write_ManyFailures_AreCountedPastTheLimitAndToldOfLater()
    {
        for (var i = 0; i < 1000; i++)
        {
            Log.Write($"Job {i}, attempt 1", "m", default, new InvalidOperationException("broken"));
        }

        _lines.Warnings.Count.ShouldBe(FailureLog.Most);
        _time.Advance(TimeSpan.FromMinutes(1));
        Log.Write("Job 1001, attempt 1", "m", default, new InvalidOperationException("broken"));
        _lines.Warnings.Count.ShouldBe(FailureLog.Most + 2);
        _lines.Warnings[FailureLog.Most].ShouldStartWith($"{1000 - FailureLog.Most} more");
    }

    private sealed class Lines : ILogger<FailureLog>
    {
        public List<string> Warnings { get; } = [];

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (logLevel == LogLevel.Warning)
            {
                Warnings.Add(formatter(state, exception));
            }
        }
    }
}
