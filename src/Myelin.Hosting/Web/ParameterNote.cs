namespace Myelin.Hosting.Web;

internal enum In
{
    Query,
    Header,
}

/// <summary>A parameter that a handler reads from the request itself; shown in the OpenAPI document.</summary>
internal sealed record ParameterNote(string Name, In In, string Description, string? Example);
