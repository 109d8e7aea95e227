using Myelin.Hosting.Web;

namespace Myelin.Jobs;

/// <summary>What the OpenAPI document says about jobs beyond their types.</summary>
internal static class JobDocumentation
{
    public const string Submit =
        "As JSON, inputs are base64 text or data: URLs by name. As multipart/form-data, `model`, `parameters` (JSON), `priority`, `key`, " +
        "`deadline` and `callback` are fields and every other part is an input by its name. Answers 202 with the job, or 200 with the " +
        "finished job where `wait` is given and it ends in time. A caller that leaves while it waits cancels its job, unless `keep=true`, an `Idempotency-Key`, a callback or another watcher keeps it.";

    public const string Events =
        "`state`, `progress` and `end` events; each carries the job. A dropped connection goes on after `Last-Event-ID`; " +
        "204 says that the end has been seen already. A comment every 15 seconds keeps the line open.";

    public static readonly ParameterNote Wait = new("wait", In.Query, "How long to wait for the end: `500ms`, `30s`, `1m`, or seconds; at most 60 s.", "30s");
    public static readonly ParameterNote Keep = new("keep", In.Query, "`true` keeps the job when the caller leaves while it waits.", "true");
    public static readonly ParameterNote IdempotencyKey = new("Idempotency-Key", In.Header, "A repeat with the same key and body answers with the first job; with another body 422.", "order-4711");
    public static readonly ParameterNote LastEventId = new("Last-Event-ID", In.Header, "Id of the last event seen; also as the query `lastEventId`.", "12");
    public static readonly ParameterNote Model = new("model", In.Query, "Only jobs of this model.", "faces");
    public static readonly ParameterNote State = new("state", In.Query, "Only jobs in this state: queued, running, succeeded, failed, cancelled, expired.", "succeeded");
    public static readonly ParameterNote Cursor = new("cursor", In.Query, "`nextCursor` of the page before.", null);
    public static readonly ParameterNote Redirect = new(
        "redirect", In.Query, "`true` answers 307 with an address in the store of blobs where it has such (S3), so that the bytes do not pass this server; else the bytes come as usual.", "true");
    public static readonly ParameterNote Limit = new("limit", In.Query, "Jobs of one page, 1 to 100.", "20");
}
