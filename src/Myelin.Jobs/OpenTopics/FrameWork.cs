using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Myelin.Hosting.Bus;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Web;
using Myelin.Inference;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Tasks;
using Myelin.Jobs.Attempts;
using Myelin.Serving.Admission;

namespace Myelin.Jobs.OpenTopics;

/// <summary>
/// One frame: checked like a submission, then through its model. Always answered, with a result or a problem for the
/// topics of its stream; never thrown, so that no frame stands in another's way.
/// </summary>
internal sealed class FrameWork(
    SubmissionCheck check, AcquireTask acquire, AllowedModels allowed, FailureLog failures, MyelinOptions options)
{
    public async Task<FrameAnswer> RunAsync(string stream, BusMessage frame, CancellationToken cancellationToken)
    {
        using var activity = JobInstruments.Activities.StartActivity("frame", ActivityKind.Consumer, frame.Trace());
        var model = frame.Header(OpenMessage.Model) ?? (options.OpenTopics.Model.Length > 0 ? options.OpenTopics.Model : null);
        activity?.SetTag("myelin.model", model);
        Problem problem;
        try
        {
            if (await CheckAsync(frame, model, cancellationToken) is { } refused)
            {
                problem = refused;
            }
            else
            {
                var result = await InferAsync(frame, model!, cancellationToken);
                return new FrameAnswer(
                    stream,
                    FrameOutcome.Processed,
                    Answer(Topics.Results(stream), frame, model, "application/json", result.Json),
                    [.. result.Artifacts.Select(a => Answer(Topics.Annotated(stream), frame, model, a.ContentType, a.Bytes, a.Name))]);
            }
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            problem = ProblemOf(e, model!);
            if (problem.Status >= 500)
            {
                failures.Write($"Frame {frame.Origin ?? stream}", model!, Encoding.UTF8.GetBytes(frame.Header(OpenMessage.Parameters) ?? ""), e);
            }
        }

        var outcome = problem.Status < 500 ? FrameOutcome.Refused : FrameOutcome.Failed;
        return new FrameAnswer(stream, outcome, Answer(Topics.Results(stream), frame, model, Problem.ContentType, OpenMessage.Json(problem)), []);
    }

    private async ValueTask<Problem?> CheckAsync(BusMessage frame, string? model, CancellationToken cancellationToken)
    {
        if ((frame.LongHeader() ?? allowed.Refusal(model)) is { } forbidden)
        {
            return forbidden;
        }

        if (frame.Payload.Length > options.Input.MaxBytes)
        {
            return Problems.Of(ProblemTypes.TooLarge, $"the frame has {frame.Payload.Length} bytes; the limit is {options.Input.MaxBytes} (input.maxBytes)");
        }

        using var draft = new SubmissionDraft { Model = model, Parameters = Encoding.UTF8.GetBytes(frame.Header(OpenMessage.Parameters) ?? "") };
        draft.Parts.Add(new SubmissionPart("image", PartForm.Bytes, frame.Header(OpenMessage.ContentType), MemoryMarshal.AsMemory(frame.Payload)));
        var (_, refusal) = await check.CheckAsync(draft, options.OpenTopics.Tenant, idempotencyKey: null, cancellationToken);
        return refusal?.Problem;
    }

    private async Task<TaskResult> InferAsync(BusMessage frame, string model, CancellationToken cancellationToken)
    {
        using var lease = await acquire(model, cancellationToken);
        using var parameters = JsonDocument.Parse(frame.Header(OpenMessage.Parameters) ?? "{}");
        var files = new Dictionary<string, TaskFile> { ["image"] = new(frame.Header(OpenMessage.ContentType) ?? "", frame.Payload) };
        return await lease.Task.RunAsync(new TaskInput(files, parameters.RootElement), new NoProgress(), cancellationToken);
    }

    private static BusMessage Answer(string topic, BusMessage frame, string? model, string contentType, ReadOnlyMemory<byte> payload, string? name = null) =>
        OpenMessage.Answer(
            frame, topic, contentType, payload,
            (OpenMessage.FrameId, frame.Header(OpenMessage.FrameId) is { Length: <= OpenMessage.HeaderLength } own ? own : frame.Origin),
            (OpenMessage.CapturedAt, frame.Header(OpenMessage.CapturedAt)),
            (OpenMessage.Model, model),
            (OpenMessage.Name, name));

    private static Problem ProblemOf(Exception fault, string model) => fault switch
    {
        InputException input => JobProblems.InvalidInput(input),
        ModelException broken => JobProblems.ModelUnavailable(model, broken.Message),
        RuntimeException runtime => JobProblems.RuntimeFailed(runtime),
        _ => Problems.Of(ProblemTypes.Internal, "the frame failed; the server's log says why"),
    };

    /// <summary>Nobody watches a frame.</summary>
    private sealed class NoProgress : IProgress<TaskProgress>
    {
        public void Report(TaskProgress value)
        {
        }
    }
}
