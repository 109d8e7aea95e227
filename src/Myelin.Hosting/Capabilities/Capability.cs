using Myelin.Hosting.Configuration;

namespace Myelin.Hosting.Capabilities;

/// <summary>
/// One part of the server, which <c>MyelinServer</c> names in one line. Here it says what it is made of; the rest finds
/// itself: tables in SQL files that its project embeds (<see cref="Storage.MigrationFiles"/>), reasons to be unready by
/// <c>AddProbe</c>, series by a meter of the name of all, its page in <c>/docs</c> by what its endpoints describe.
/// </summary>
internal abstract class Capability
{
    /// <summary>
    /// Settings of its own: the section's name and a record with their defaults, read as all others are and given to its
    /// services by type. Null where it has none, or where they are in <see cref="MyelinOptions"/>.
    /// </summary>
    public virtual (string Section, Func<object> Defaults)? Settings => null;

    /// <summary>Its services, by the roles that <paramref name="options"/> names. Hosted ones start in the order of capabilities and stop in the reverse.</summary>
    public abstract void AddServices(IServiceCollection services, MyelinOptions options);

    /// <summary>Its part of the API; of gateways. An endpoint that names no scope asks for <c>infer</c> to read and <c>manage</c> to change.</summary>
    public virtual void MapEndpoints(IEndpointRouteBuilder routes)
    {
    }
}

internal static class Capabilities
{
    /// <summary>Their own settings, as they are before anybody has set one.</summary>
    public static IReadOnlyList<(string Name, object Settings)> Sections(this IEnumerable<Capability> capabilities) =>
        [.. capabilities.Select(c => c.Settings).OfType<(string Section, Func<object> Defaults)>().Select(s => (s.Section, s.Defaults()))];

    /// <summary>Their services, and their settings by type.</summary>
    public static void AddCapabilities(this IServiceCollection services, IEnumerable<Capability> capabilities, MyelinOptions options)
    {
        foreach (var (_, settings) in options.Sections)
        {
            services.AddSingleton(settings.GetType(), settings);
        }

        foreach (var capability in capabilities)
        {
            capability.AddServices(services, options);
        }
    }
}
