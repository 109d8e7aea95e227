using Confluent.Kafka;

namespace Myelin.Hosting.Bus.Kafka;

/// <summary>Whether brokers answer, as any client last heard. Says the changes once; clients repeat themselves every second.</summary>
internal sealed partial class KafkaHealth
{
    private readonly ILogger<KafkaHealth> _logger;
    private int _down;
    private volatile bool _answered;

    public KafkaHealth(BusInstruments instruments, ILogger<KafkaHealth> logger)
    {
        _logger = logger;
        instruments.ObserveHealth(() => IsUp);
    }

    public bool IsUp => Volatile.Read(ref _down) == 0;

    /// <summary>False until a broker has answered once: nothing of this process was heard yet, and it heard nothing.</summary>
    public bool HasAnswered => _answered;

    public void Up()
    {
        _answered = true;
        if (Volatile.Read(ref _down) == 1 && Interlocked.Exchange(ref _down, 0) == 1)
        {
            LogBack();
        }
    }

    /// <summary>What a client reports beside its calls.</summary>
    public void Heard(Error error)
    {
        if (error.Code == ErrorCode.Local_AllBrokersDown)
        {
            if (Interlocked.Exchange(ref _down, 1) == 0)
            {
                LogAway();
            }
        }
        else if (error.Code is ErrorCode.Local_Authentication or ErrorCode.Local_Ssl or ErrorCode.SaslAuthenticationFailed)
        {
            LogRefused(error.Reason);
        }
        else
        {
            LogHeard(error.Code, error.Reason);
        }
    }

    public void Heard(LogMessage message) => LogClient(message.Facility, message.Message);

    [LoggerMessage(LogLevel.Warning, "No Kafka broker answers; jobs are accepted and run on, their messages wait or are sent again later")]
    private partial void LogAway();

    [LoggerMessage(LogLevel.Information, "Kafka answers again")]
    private partial void LogBack();

    [LoggerMessage(LogLevel.Error, "Kafka refuses this server: {Reason}")]
    private partial void LogRefused(string reason);

    [LoggerMessage(LogLevel.Debug, "Kafka: {Code}: {Reason}")]
    private partial void LogHeard(ErrorCode code, string reason);

    [LoggerMessage(LogLevel.Debug, "Kafka client: {Facility}: {Message}")]
    private partial void LogClient(string facility, string message);
}
