namespace Myelin.Server.Inference;

/// <summary>What a request of the Open Inference Protocol asks of which model.</summary>
/// <param name="Version">Null for the one that serves.</param>
/// <param name="Infer">A call; otherwise what the model takes and gives.</param>
internal sealed record CallPath(string Model, string? Version, bool Infer)
{
    /// <summary>Of a request that a gateway sends to a worker; null for anything else.</summary>
    public static CallPath? Parse(HttpRequest request)
    {
        var parts = (request.Path.Value ?? "").Split('/', StringSplitOptions.RemoveEmptyEntries);
        return parts is ["v2", "models", var model, .. var rest] ? (request.Method, rest) switch
        {
            ("POST", ["infer"]) => new CallPath(model, null, Infer: true),
            ("POST", ["versions", var version, "infer"]) => new CallPath(model, version, Infer: true),
            ("GET", []) => new CallPath(model, null, Infer: false),
            ("GET", ["versions", var version]) => new CallPath(model, version, Infer: false),
            _ => null,
        } : null;
    }

    public string ToPath() =>
        $"/v2/models/{Uri.EscapeDataString(Model)}{(Version is null ? "" : "/versions/" + Uri.EscapeDataString(Version))}{(Infer ? "/infer" : "")}";
}
