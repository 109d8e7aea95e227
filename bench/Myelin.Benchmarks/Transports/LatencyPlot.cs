using System.Globalization;
using System.Text;

namespace Myelin.Benchmarks.Transports;

/// <summary>A chart as SVG: microseconds of a call over its size, both logarithmic; names stand at the lines' right ends.</summary>
internal sealed class LatencyPlot((int Bytes, string Name)[] sizes)
{
    private const double Left = 70, Right = 610, Top = 60, Bottom = 500, Width = 840, Height = 560;

    private static readonly string[] s_colours = ["#1a1a1a", "#0b6e4f", "#2a9d8f", "#c1121f", "#e76f51", "#f4a261", "#0b6e4f", "#2a9d8f", "#c1121f", "#e76f51"];

    private readonly List<(string Name, IReadOnlyList<double> Values, string Style, bool IsLimit)> _lines = [];

    public void Add(string name, IReadOnlyList<double> microseconds, bool dashed) => _lines.Add(
        (name, microseconds, $"stroke=\"{s_colours[_lines.Count % s_colours.Length]}\" stroke-width=\"2\"{(dashed ? " stroke-dasharray=\"6 4\"" : "")}", false));

    /// <summary>What no line can go below.</summary>
    public void Limit(string name, IReadOnlyList<double> microseconds) => _lines.Add((name, microseconds, "stroke=\"#9aa0a6\" stroke-width=\"6\" stroke-linecap=\"round\" opacity=\"0.6\"", true));

    public string Write()
    {
        var values = _lines.Where(line => !line.IsLimit).SelectMany(line => line.Values).ToList(); // a limit may leave the chart
        var (low, high) = (Math.Floor(Math.Log10(values.Min())), Math.Ceiling(Math.Log10(values.Max())));
        double X(int at) => Left + ((Math.Log10(sizes[at].Bytes) - Math.Log10(sizes[0].Bytes)) / (Math.Log10(sizes[^1].Bytes) - Math.Log10(sizes[0].Bytes)) * (Right - Left));
        double Y(double value) => Bottom - ((Math.Log10(value) - low) / (high - low) * (Bottom - Top));

        var svg = new StringBuilder();
        void Line(FormattableString text) => svg.AppendLine(text.ToString(CultureInfo.InvariantCulture));
        Line($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#1a1a1a\">");
        Line($"<rect width=\"{Width}\" height=\"{Height}\" rx=\"8\" fill=\"#ffffff\"/>");
        Line($"<clipPath id=\"chart\"><rect x=\"{Left}\" y=\"{Top - 3}\" width=\"{Right - Left + 3}\" height=\"{Bottom - Top + 3}\"/></clipPath>");
        Line($"<text x=\"{Left}\" y=\"30\" font-size=\"17\" font-weight=\"bold\">One call there and back, p50</text>");
        Line($"<text x=\"{Left}\" y=\"48\" fill=\"#5f6368\">a model that only copies; both axes logarithmic; dashed: Python sidecar</text>");
        for (var decade = low; decade <= high; decade++)
        {
            var y = Y(Math.Pow(10, decade));
            Line($"<line x1=\"{Left}\" y1=\"{y:0.0}\" x2=\"{Right}\" y2=\"{y:0.0}\" stroke=\"#e3e5e8\"/>");
            Line($"<text x=\"{Left - 8}\" y=\"{y + 4:0.0}\" text-anchor=\"end\">{Time(decade)}</text>");
        }

        for (var at = 0; at < sizes.Length; at++)
        {
            Line($"<line x1=\"{X(at):0.0}\" y1=\"{Top}\" x2=\"{X(at):0.0}\" y2=\"{Bottom}\" stroke=\"#e3e5e8\"/>");
            Line($"<text x=\"{X(at):0.0}\" y=\"{Bottom + 22}\" text-anchor=\"middle\">{sizes[at].Name}</text>");
        }

        Line($"<text x=\"{(Left + Right) / 2}\" y=\"{Bottom + 46}\" text-anchor=\"middle\" fill=\"#5f6368\">bytes each way</text>");
        foreach (var (_, line, style, _) in _lines.AsEnumerable().Reverse()) // the limit first: it lies below
        {
            Line($"<polyline fill=\"none\" {style} clip-path=\"url(#chart)\" points=\"{string.Join(' ', line.Select((value, at) => string.Create(CultureInfo.InvariantCulture, $"{X(at):0.0},{Y(value):0.0}")))}\"/>");
        }

        var last = double.MinValue;
        foreach (var (name, line, style, _) in _lines.OrderBy(line => Y(line.Values[^1])))
        {
            var end = Y(line[^1]);
            last = Math.Max(end, last + 17); // labels do not overlap: each is at least a line below the one above
            Line($"<polyline fill=\"none\" stroke=\"#9aa0a6\" stroke-width=\"0.7\" points=\"{Right + 4},{end:0.0} {Right + 18},{last:0.0}\"/>");
            Line($"<line x1=\"{Right + 20}\" y1=\"{last:0.0}\" x2=\"{Right + 42}\" y2=\"{last:0.0}\" {style}/>");
            Line($"<text x=\"{Right + 48}\" y=\"{last + 4:0.0}\">{name}</text>");
        }

        Line($"</svg>");
        return svg.ToString();
    }

    private static string Time(double decade) => decade switch
    {
        < 3 => string.Create(CultureInfo.InvariantCulture, $"{Math.Pow(10, decade)} µs"),
        < 6 => string.Create(CultureInfo.InvariantCulture, $"{Math.Pow(10, decade - 3)} ms"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{Math.Pow(10, decade - 6)} s"),
    };
}
