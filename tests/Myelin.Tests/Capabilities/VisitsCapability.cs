using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Capabilities;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Hosting.Storage.Sqlite;
using Myelin.Hosting.Telemetry;
using Npgsql;

namespace Myelin.Tests.Capabilities;

/// <summary>The least that has a table on both databases, a setting, an endpoint with a scope, a series and a page in /docs.</summary>
internal sealed class VisitsCapability : Capability
{
    public override (string Section, Func<object> Defaults)? Settings => ("Visits", static () => new VisitsOptions());

    public override void AddServices(IServiceCollection services, MyelinOptions options) => services.AddSingleton<Visits>();

    public override void MapEndpoints(IEndpointRouteBuilder routes) => routes
        .MapPost("/v1/visits", async (Visits visits, CancellationToken token) => TypedResults.Text($"{await visits.AddAsync(token)}"))
        .RequireScope(Scopes.Manage).WithName("addVisit").WithSummary("Count a visit");
}

internal sealed record VisitsOptions
{
    [Description("What a visit counts.")]
    [Range(1, 100)]
    public int Step { get; init; } = 1;
}

internal sealed class Visits(VisitsOptions options, IServiceProvider services, IMeterFactory meters)
{
    private const string Add = "INSERT INTO visits (place, count) VALUES (1, $1) ON CONFLICT (place) DO UPDATE SET count = visits.count + $1 RETURNING count";

    private readonly Counter<int> _counted = meters.Create(MetricsPage.MeterName).CreateCounter<int>("myelin.visits", "{visit}", "Visits counted.");

    public async Task<long> AddAsync(CancellationToken cancellationToken)
    {
        _counted.Add(options.Step);
        return services.IsShared()
            ? (await services.GetRequiredService<PostgresPool>().QueryAsync(
                Repeat.Never, Add, p => p.Add(new NpgsqlParameter<long> { TypedValue = options.Step }), static row => row.GetInt64(0), cancellationToken)).Single()
            : await services.GetRequiredService<SqliteDatabase>().WriteAsync(Write, cancellationToken);
    }

    private long Write(SqliteSession session)
    {
        using var statement = session.Prepare(Add);
        statement.Bind(1, (long)options.Step);
        statement.Step();
        return statement.Int64(0);
    }
}
