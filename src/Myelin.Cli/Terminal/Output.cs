using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Spectre.Console;

namespace Myelin.Cli.Terminal;

/// <summary>
/// Standard output carries the answer and nothing else; standard error carries progress and complaints. Tables are for
/// people at a terminal, tab-separated lines for pipes, JSON for programs.
/// </summary>
internal sealed class Output(bool json)
{
    private readonly TextWriter _answer = Console.Out;
    private readonly TextWriter _aside = Console.Error;
    private readonly Lazy<IAnsiConsole> _out = new(() => Make(Console.Out));
    private readonly Lazy<IAnsiConsole> _error = new(() => Make(Console.Error));

    public bool Json { get; } = json;

    /// <summary>True when a person reads standard output.</summary>
    public bool IsPerson { get; } = !json && !Console.IsOutputRedirected;

    /// <summary>True when a person sees standard error, so that bars may move there.</summary>
    public bool CanAnimate { get; } = !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("TERM") is not "dumb";

    public IAnsiConsole Error => _error.Value;

    public void Line(string text) => _answer.WriteLine(text);

    /// <summary>One JSON value on a line of its own.</summary>
    public void Write<T>(T value, JsonTypeInfo<T> type) => _answer.WriteLine(JsonSerializer.Serialize(value, type));

    public void Note(string text) => _aside.WriteLine(text);

    public int Fail(string message, int code)
    {
        // Nothing from elsewhere may steer the terminal, but a list of causes may keep its lines.
        foreach (var line in message.Split('\n'))
        {
            _aside.WriteLine("myelin: " + Readable.Plain(line.TrimEnd('\r')));
        }

        return code;
    }

    /// <summary>A JSON line for each item, or a <see cref="Table"/>.</summary>
    public void List<T>(IEnumerable<T> items, JsonTypeInfo<T> type, IReadOnlyList<string> columns, Func<T, string[]> row)
    {
        if (!Json)
        {
            Table(columns, items.Select(row));
            return;
        }

        foreach (var item in items)
        {
            Write(item, type);
        }
    }

    /// <summary>Rows of plain text; columns that begin with <c>#</c> are aligned right.</summary>
    public void Table(IReadOnlyList<string> columns, IEnumerable<string[]> rows)
    {
        if (!IsPerson)
        {
            foreach (var row in rows)
            {
                Line(string.Join('\t', row.Select(Readable.Plain)));
            }

            return;
        }

        var table = new Table().Border(TableBorder.Simple);
        foreach (var column in columns)
        {
            table.AddColumn(new TableColumn(new Markup($"[bold]{Markup.Escape(column.TrimStart('#'))}[/]"))
            {
                Alignment = column.StartsWith('#') ? Justify.Right : Justify.Left,
                NoWrap = column.StartsWith('#'),
            });
        }

        foreach (var row in rows)
        {
            table.AddRow(row.Select(cell => new Text(Readable.Plain(cell))));
        }

        _out.Value.Write(table);
    }

    private static IAnsiConsole Make(TextWriter writer) => AnsiConsole.Create(new() { Out = new AnsiConsoleOutput(writer) });
}
