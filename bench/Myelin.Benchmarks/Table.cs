using System.Globalization;

namespace Myelin.Benchmarks;

/// <summary>Prints rows as a Markdown table, so that a run can be pasted into docs/performance.md.</summary>
internal sealed class Table(params string[] columns)
{
    private readonly List<string[]> _rows = [];

    public void Add(params object[] cells) => _rows.Add([.. cells.Select(c => c switch
    {
        double number => number.ToString(number >= 100 ? "N0" : number >= 1 ? "0.00" : "0.000", CultureInfo.InvariantCulture),
        _ => Convert.ToString(c, CultureInfo.InvariantCulture) ?? "",
    })]);

    public void Print(string title)
    {
        Console.WriteLine($"\n### {title}\n");
        Console.WriteLine($"| {string.Join(" | ", columns)} |");
        Console.WriteLine($"|{string.Concat(columns.Select(_ => "---|"))}");
        _rows.ForEach(r => Console.WriteLine($"| {string.Join(" | ", r)} |"));
    }
}
