using System.Diagnostics;
using System.Text.Json;

namespace Myelin.Inference.Tasks;

/// <summary>Milliseconds of each stage of one job, for the result's <c>timings</c>. One job, one thread at a time.</summary>
internal sealed class TaskTimings
{
    private readonly List<(string Name, double Milliseconds)> _stages = [];
    private long _started = Stopwatch.GetTimestamp();

    /// <summary>Ends a stage: what passed since the last end, or since the start.</summary>
    public void End(string stage)
    {
        _stages.Add((stage, Stopwatch.GetElapsedTime(_started).TotalMilliseconds));
        _started = Stopwatch.GetTimestamp();
    }

    public void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject("timings");
        foreach (var (name, milliseconds) in _stages)
        {
            json.WriteNumber(name, Math.Round(milliseconds, 3));
        }

        json.WriteEndObject();
    }
}
