using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.OpenApi;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Web;

namespace Myelin.Server.Gateway;

/// <summary>The OpenAPI document at <c>/openapi/v1.json</c>.</summary>
internal static class OpenApi
{
    public static IServiceCollection AddMyelinOpenApi(this IServiceCollection services) => services.AddOpenApi("v1", options =>
    {
        options.OpenApiVersion = OpenApiSpecVersion.OpenApi3_1;
        options.AddDocumentTransformer((document, _, _) =>
        {
            document.Info = new OpenApiInfo
            {
                Title = "Myelin",
                Version = typeof(OpenApi).Assembly.GetName().Version?.ToString(3) ?? "0",
                Description = $"Runs neural networks as services: submit a job, watch it, fetch its result. Errors are RFC 9457 problems whose `type` is stable.\n\n# Problems{ProblemList()}",
            };

            // The address that the reader already uses; behind a proxy the server's own idea of it would be wrong.
            document.Servers = [new OpenApiServer { Url = "/" }];
            document.Components ??= new OpenApiComponents();
            document.Components.SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>
            {
                ["key"] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "bearer", Description = "An API key, mk_…; not needed on loopback." },
            };
            return Task.CompletedTask;
        });
        options.AddSchemaTransformer((schema, context, _) =>
        {
            // Of a converter of our own the generator knows nothing.
            if ((Nullable.GetUnderlyingType(context.JsonTypeInfo.Type) ?? context.JsonTypeInfo.Type) is { IsEnum: true } values)
            {
                schema.Type = JsonSchemaType.String;
                schema.Enum = [.. Enum.GetNames(values).Select(name => JsonValue.Create(JsonNamingPolicy.CamelCase.ConvertName(name)))];
            }

            return Task.CompletedTask;
        });
        options.AddOperationTransformer((operation, context, _) =>
        {
            var metadata = context.Description.ActionDescriptor.EndpointMetadata;
            foreach (var note in metadata.OfType<ParameterNote>())
            {
                operation.Parameters ??= [];
                operation.Parameters.Add(new OpenApiParameter
                {
                    Name = note.Name,
                    In = note.In == In.Header ? ParameterLocation.Header : ParameterLocation.Query,
                    Description = note.Description,
                    Schema = new OpenApiSchema { Type = JsonSchemaType.String },
                    Example = note.Example is null ? null : JsonValue.Create(note.Example),
                });
            }

            if (metadata.OfType<ScopeRequirement>().LastOrDefault() is { AnyOf: not Scopes.None } scope)
            {
                operation.Description = $"{operation.Description}\n\nScope: `{scope.AnyOf.ToText().Replace(",", "` or `", StringComparison.Ordinal)}`.".Trim();
                operation.Security = [new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference("key", context.Document)] = [] }];
            }

            return Task.CompletedTask;
        });
    });

    public static void MapMyelinOpenApi(this IEndpointRouteBuilder routes)
    {
        routes.MapOpenApi("/openapi/{documentName}.json").OpenToAll();
        routes.MapDocs();
    }

    /// <summary>Every kind of problem under a heading of its name, for people and for the links that types are.</summary>
    private static string ProblemList() => string.Concat(Problems.Types.Select(type => Problems.Of(type, "")).OrderBy(problem => problem.Status)
        .Select(problem => $"\n\n## {problem.Type["/problems/".Length..]}\n\n{problem.Status}: {problem.Title}."));
}
