using System.Collections.Immutable;
using System.Diagnostics;
using System.Text.Json;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Web;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks;
using Myelin.Serving.Models;

namespace Myelin.Jobs;

/// <summary>
/// Compares a draft with its model's contract, all errors at once, whichever way it came: HTTP, Kafka, the image APIs.
/// What passes is accepted as it is: a job that the gateway could have refused never takes a place in the queue.
/// </summary>
internal sealed class SubmissionCheck(ModelDirectory models, SubmissionParts parts, MyelinOptions options, TimeProvider time)
{
    /// <summary>PostgreSQL keeps no such text, and what runs networks often takes it for the end.</summary>
    internal const string NoNul = "must not hold U+0000";

    private static readonly byte[] s_noParameters = "{}"u8.ToArray();

    public async ValueTask<(JobSubmission? Submission, ProblemResult? Refusal)> CheckAsync(
        SubmissionDraft draft, string tenant, IdempotencyKey? idempotencyKey, CancellationToken cancellationToken)
    {
        if (FindModel(draft, out var refusal) is not { } contract)
        {
            return (null, refusal);
        }

        CheckParameters(draft, contract);
        CheckFields(draft, idempotencyKey);
        var files = ImmutableArray.CreateBuilder<SubmittedFile>(draft.Parts.Count);
        foreach (var part in draft.Parts)
        {
            if (contract.Files.FirstOrDefault(f => f.Name == part.Name) is not { } spec)
            {
                draft.Errors.Add("input." + SubmissionFields.Shown(part.Name), Unknown(contract));
            }
            else if (HoldsNul(part))
            {
                draft.Errors.Add("input." + part.Name, NoNul);
            }
            else if (await parts.ReadAsync(part, spec, draft, cancellationToken) is { } file)
            {
                files.Add(file);
            }
        }

        foreach (var missing in contract.Files.Where(f => f.Required && !draft.Parts.Exists(p => p.Name == f.Name)))
        {
            draft.Errors.Add("input." + missing.Name, $"is required: {missing.Description}");
        }

        return draft.Errors.Any ? (null, draft.Errors.ToResult()) : (Submission(draft, tenant, idempotencyKey, files.ToImmutable()), null);
    }

    private TaskContract? FindModel(SubmissionDraft draft, out ProblemResult? refusal)
    {
        refusal = null;
        if (draft.Model is not { Length: > 0 } name)
        {
            draft.Errors.Add("model", $"is required; there are: {Names()}");
            refusal = draft.Errors.ToResult();
            return null;
        }

        switch (models.Find(name))
        {
            case null:
                var meant = name.Length <= 64 ? Nearest.To(name, models.List().Select(m => m.Name)) : null;
                refusal = new ProblemResult(Problems.Field(
                    ProblemTypes.UnknownModel, "model", $"'{SubmissionFields.Shown(name)}' is not here{(meant is null ? "" : $" (did you mean '{meant}'?)")}; there are: {Names()}"));
                return null;
            case { State: not ModelState.Broken, Contract: { } contract }:
                return contract;
            case var broken:
                refusal = new ProblemResult(Problems.Of(
                    ProblemTypes.ModelUnavailable,
                    $"the model '{broken.Name}' is broken; mend its folder: {string.Join("; ", broken.Errors.Select(Describe))}",
                    broken.Errors.GroupBy(e => e.Key.Length == 0 ? e.File : $"{e.File}#{e.Key}").ToDictionary(g => g.Key, g => string.Join("; ", g.Select(e => e.Message)))));
                return null;
        }
    }

    private static void CheckParameters(SubmissionDraft draft, TaskContract contract)
    {
        if (draft.Parameters.IsEmpty)
        {
            Check(default);
            return;
        }

        // Twice the same name would mean one value to the check and maybe another to the task.
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(draft.Parameters, new JsonDocumentOptions { MaxDepth = Limits.JsonDepth, AllowDuplicateProperties = false });
        }
        catch (JsonException e)
        {
            draft.Errors.Add("parameters", JsonFault.Reason(e));
            return;
        }

        using (document)
        {
            Check(document.RootElement);
        }

        void Check(JsonElement parameters)
        {
            if (SubmissionJson.FindNul(draft.Parameters.Span, "parameters") is { } field)
            {
                draft.Errors.Add(field, NoNul);
            }

            foreach (var error in TaskContracts.Check(contract, parameters))
            {
                draft.Errors.Add(error.Field, error.Message);
            }
        }
    }

    private void CheckFields(SubmissionDraft draft, IdempotencyKey? idempotencyKey)
    {
        foreach (var (field, text) in new[] { ("key", draft.Key), ("callback.url", draft.CallbackUrl), ("callback.secret", draft.CallbackSecret) })
        {
            if (text?.Contains('\0', StringComparison.Ordinal) == true)
            {
                draft.Errors.Add(field, NoNul);
            }
        }

        if (draft.Deadline <= time.GetUtcNow())
        {
            draft.Errors.Add("deadline", "lies in the past; name a time to come");
        }

        if (idempotencyKey?.Wrong is { } unusable)
        {
            draft.Errors.Add(idempotencyKey.Field, unusable);
        }

        if (draft.CallbackUrl is { } url && CallbackTarget.Wrong(url, options.Webhooks.AllowPrivate) is { } wrong)
        {
            draft.Errors.Add("callback.url", wrong);
        }

        if (draft.CallbackSecret is { Length: < 16 or > 256 })
        {
            draft.Errors.Add("callback.secret", "must have 16 to 256 characters");
        }
    }

    private static JobSubmission Submission(SubmissionDraft draft, string tenant, IdempotencyKey? idempotencyKey, ImmutableArray<SubmittedFile> files) => new()
    {
        Tenant = tenant,
        Model = draft.Model!,
        Priority = draft.Priority,
        Key = draft.Key,
        Deadline = draft.Deadline,
        Callback = draft.CallbackUrl is { } url ? new JobCallback(url, draft.CallbackSecret) : null,

        // Copied: the record outlives the body's buffer.
        Parameters = draft.Parameters.IsEmpty ? s_noParameters : draft.Parameters.ToArray(),
        Files = files,
        IdempotencyKey = idempotencyKey?.Stored,
        TraceParent = Activity.Current?.Id,
    };

    /// <summary>In whatever form it came; not of a file's own bytes.</summary>
    private static bool HoldsNul(SubmissionPart part) =>
        part.ContentType?.Contains('\0', StringComparison.Ordinal) == true
        || (part.Form == PartForm.Json && SubmissionJson.FindNul(part.Content.Span, part.Name) is not null);

    private string Names() => models.List() is { Count: > 0 } list ? string.Join(", ", list.Select(m => m.Name).Take(50)) : "none yet";

    private static string Unknown(TaskContract contract) => contract.Files.Count == 0
        ? $"is no input of {contract.Task}, which takes none"
        : $"is no input of {contract.Task}, which takes: {string.Join(", ", contract.Files.Select(f => f.Name))}";

    private static string Describe(ModelError error) => $"{error.File}{(error.Key.Length == 0 ? "" : $" ({error.Key})")}: {error.Message}";
}
