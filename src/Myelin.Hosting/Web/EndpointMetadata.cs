namespace Myelin.Hosting.Web;

internal static class EndpointMetadata
{
    /// <summary>Documents the problems that an endpoint answers with; statuses come from the one table.</summary>
    public static TBuilder Problems<TBuilder>(this TBuilder builder, params string[] types) where TBuilder : IEndpointConventionBuilder
    {
        foreach (var status in types.Select(Web.Problems.Status).Distinct())
        {
            builder.WithMetadata(new ProducesResponseTypeMetadata(status, typeof(Problem), [Problem.ContentType]));
        }

        return builder;
    }
}
