using System.Text.Json;
using Myelin.Hosting.Telemetry;

namespace Myelin.Jobs;

/// <summary>A job's end in Triton's terms. Where the time went is read from the result's <c>timings</c>, in milliseconds.</summary>
internal static class TritonView
{
    public static void Count(InferenceInstruments instruments, JobRecord job)
    {
        if (job is { State: JobState.Succeeded, StartedAt: { } start, EndedAt: { } end })
        {
            instruments.Succeeded(job.Model, Times(job, start, end));
        }
        else
        {
            instruments.Failed(job.Model, job switch
            {
                { State: JobState.Cancelled } => InferenceFailure.Canceled,
                { State: JobState.Expired } => InferenceFailure.Rejected,
                { Error.Type: ProblemTypes.RuntimeFailed or ProblemTypes.RuntimeCrashed or ProblemTypes.RuntimeDeadline or ProblemTypes.AttemptsExhausted } => InferenceFailure.Backend,
                _ => InferenceFailure.Other,
            });
        }
    }

    private static InferenceTimes Times(JobRecord job, DateTimeOffset start, DateTimeOffset end)
    {
        var (input, infer, output) = (0d, 0d, 0d);
        if (job.Result is { } result)
        {
            Read(result.Span, ref input, ref infer, ref output);
        }

        return new InferenceTimes(
            Total: end - job.CreatedAt,
            Queue: start - job.CreatedAt,
            Input: Milliseconds(input),
            Infer: infer > 0 ? Milliseconds(infer) : end - start, // a task that measures nothing only infers
            Output: Milliseconds(output));

        // What a task says of itself may be anything; no stage took longer than the whole.
        TimeSpan Milliseconds(double value) =>
            value > 0 ? TimeSpan.FromMilliseconds(Math.Min(value, Math.Max((end - start).TotalMilliseconds, 0))) : TimeSpan.Zero;
    }

    private static void Read(ReadOnlySpan<byte> result, ref double input, ref double infer, ref double output)
    {
        var reader = new Utf8JsonReader(result);
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isTimings = reader.ValueTextEquals("timings"u8);
            reader.Read();
            if (!isTimings || reader.TokenType != JsonTokenType.StartObject)
            {
                reader.Skip();
                continue;
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var stage = reader.GetString();
                reader.Read();
                if (reader.TokenType != JsonTokenType.Number)
                {
                    reader.Skip();
                    continue;
                }

                switch (stage)
                {
                    case "decodeMs" or "preprocessMs" or "conditionMs":
                        input += reader.GetDouble();
                        break;
                    case "detectMs" or "inferMs" or "denoiseMs":
                        infer += reader.GetDouble();
                        break;
                    case "rectifyMs" or "postprocessMs" or "annotateMs" or "encodeMs":
                        output += reader.GetDouble();
                        break;
                    default:
                        break; // sums and shares of stages that are counted already
                }
            }

            return;
        }
    }
}
