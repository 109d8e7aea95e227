using System.Diagnostics.Metrics;

namespace Myelin.Hosting.Telemetry;

/// <summary>
/// Prometheus names of OpenTelemetry instruments: dots become underscores, the unit a suffix, counters end in
/// <c>_total</c>. Triton's names (<c>nv_…</c>) are a contract of their own and stay as they are.
/// </summary>
internal static class PrometheusName
{
    public static string Of(Instrument instrument, bool isCounter)
    {
        var name = Clean(instrument.Name);
        if (name.StartsWith("nv_", StringComparison.Ordinal))
        {
            return name;
        }

        var unit = instrument.Unit switch
        {
            "s" => "_seconds",
            "ms" => "_milliseconds",
            "By" => "_bytes",
            _ => "", // {request}, {job}: annotations, not units
        };
        if (unit.Length > 0 && !name.EndsWith(unit, StringComparison.Ordinal))
        {
            name += unit;
        }

        return isCounter && !name.EndsWith("_total", StringComparison.Ordinal) ? name + "_total" : name;
    }

    public static string Label(string tag) => Clean(tag);

    private static string Clean(string name) =>
        string.Create(name.Length, name, static (span, name) =>
        {
            for (var i = 0; i < span.Length; i++)
            {
                var c = name[i];
                span[i] = char.IsAsciiLetter(c) || (i > 0 && char.IsAsciiDigit(c)) ? c : '_';
            }
        });
}
