using Myelin.Hosting.Web;
using Myelin.Inference;

namespace Myelin.Jobs;

/// <summary>Collects everything that is wrong with one submission, so that a caller mends it in one go.</summary>
internal sealed class SubmissionErrors
{
    private const int Most = 50;

    private readonly Dictionary<string, string> _errors = new(StringComparer.Ordinal);
    private string? _type;

    public bool Any => _errors.Count > 0;

    public void Add(string field, string message, string type = ProblemTypes.InvalidInput)
    {
        // One kind of fault keeps its own status (413, 415); a mixture is a 400.
        _type = _type is null || _type == type ? type : ProblemTypes.InvalidInput;
        if (_errors.Count < Most)
        {
            _errors.TryAdd(field, message);
        }
    }

    public void Add(InputException fault) => Add(fault.Field, fault.Message, FaultMiddleware.TypeOf(fault.Code));

    public ProblemResult ToResult() => new(
        Problems.Fields(_errors) switch
        {
            var p when _type is { } type && type != ProblemTypes.InvalidInput => Problems.Of(type, p.Detail!, _errors),
            var p => p,
        },
        _type == ProblemTypes.QueueFull ? SubmitProblems.Later : null);
}
