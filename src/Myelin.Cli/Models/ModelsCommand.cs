using System.CommandLine;
using System.Globalization;

namespace Myelin.Cli.Models;

/// <summary>list, show, reload.</summary>
internal static class ModelsCommand
{
    public static Command Create()
    {
        var list = new Command("list", "Lists the server's models, broken ones with the reason");
        list.SetAction(Session.Action(ListAsync));
        var name = new Argument<string>("name") { Description = "The model's name" };
        var show = new Command("show", "Shows a model's contract: inputs, parameters, labels, errors") { name };
        show.SetAction(Session.Action((session, cancellationToken) => ShowAsync(session, session.Arguments.GetValue(name)!, cancellationToken)));
        var again = new Argument<string>("name") { Description = "The model's name" };
        var reload = new Command("reload", "Loads a model again, under traffic: a sidecar is replaced by a fresh one, a broken model is tried again") { again };
        reload.SetAction(Session.Action((session, cancellationToken) => ReloadAsync(session, session.Arguments.GetValue(again)!, cancellationToken)));
        var command = new Command("models", "Shows what the server can run")
        {
            list.WithExamples("myelin models list", "myelin models list --json | jq -r '.name'"),
            show.WithExamples("myelin models show faces"),
            reload.WithExamples("myelin models reload street"),
        };
        command.SetAction(Session.Action(ListAsync));
        return command.WithExamples("myelin models", "myelin models show faces");
    }

    private static async Task<int> ListAsync(Session session, CancellationToken cancellationToken)
    {
        var models = await session.Client.ModelsAsync(cancellationToken);
        session.Output.List(models, JsonContext.Default.Model, ["name", "task", "state", "runtime", "description"], m =>
        [
            m.Name, m.Task ?? "", m.State, Runtime(m), m.Errors.Count > 0 ? Why(m) : m.Description ?? "",
        ]);
        return ExitCode.Ok;
    }

    private static async Task<int> ShowAsync(Session session, string name, CancellationToken cancellationToken)
    {
        var model = await session.Client.ModelAsync(name, cancellationToken);
        if (session.Output.Json)
        {
            session.Output.Write(model, JsonContext.Default.Model);
            return ExitCode.Ok;
        }

        session.Output.Table(["", ""], Facts(model));
        if (model.Runtime is { Processes.Count: > 0 } runtime)
        {
            session.Output.Table(["process", "#pid", "state", "#restarts", "#calls", "limits", "error"], runtime.Processes.Select(p => new[]
            {
                p.Address, p.Pid?.ToString(CultureInfo.InvariantCulture) ?? "", p.State, Number(p.Restarts), Number(p.Calls), p.Limits ?? "", FirstLine(p.Error),
            }));
        }

        if (model.Inputs.Count > 0)
        {
            session.Output.Table(["input", "kind", "required", "meaning"], model.Inputs.Select(i =>
                new[] { i.Name, i.Kind, i.Required ? "yes" : "no", i.Description }));
        }

        if (model.Parameters.Count > 0)
        {
            session.Output.Table(["parameter", "type", "default", "range", "meaning"], model.Parameters.Select(p =>
                new[] { p.Name, p.Type, p.Default?.GetRawText() ?? (p.Required ? "required" : ""), Range(p), p.Description }));
        }

        return ExitCode.Ok;
    }

    private static async Task<int> ReloadAsync(Session session, string name, CancellationToken cancellationToken)
    {
        var model = await session.Client.ReloadModelAsync(name, cancellationToken);
        if (session.Output.Json)
        {
            session.Output.Write(model, JsonContext.Default.Model);
        }
        else
        {
            session.Output.Note($"{model.Name} is loaded again; calls go on meanwhile. See: myelin models show {model.Name}");
        }

        return ExitCode.Ok;
    }

    private static string Runtime(Model model) => model.Runtime switch
    {
        null => "",
        { Kind: "sidecar", State: { } state } sidecar => $"{sidecar.Transport} {state}{(sidecar.Restarts > 0 ? $", {sidecar.Restarts} restarts" : "")}",
        { } other => other.Transport,
    };

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

    private static string FirstLine(string? text) => text?.Split('\n', 2)[0] ?? "";

    private static IEnumerable<string[]> Facts(Model model)
    {
        yield return ["name", model.Name];
        yield return ["state", model.State];
        yield return ["runtime", Runtime(model)];
        foreach (var (name, value) in new[]
        {
            ("sidecar", model.Runtime?.Product), ("version", model.Runtime?.Version),
            ("task", model.Task), ("description", model.Description), ("licence", model.Licence), ("source", model.Source),
        })
        {
            if (value is not null)
            {
                yield return [name, value];
            }
        }

        foreach (var error in model.Errors)
        {
            yield return ["error", $"{error.File}{(error.Key.Length > 0 ? $" ({error.Key})" : "")}: {error.Message}"];
            if (error.Log is { } log)
            {
                yield return ["log", log];
            }
        }

        if (model.Labels.Count > 0)
        {
            const int shown = 12;
            var rest = model.Labels.Count > shown ? $" … ({model.Labels.Count} in all)" : "";
            yield return ["labels", string.Join(", ", model.Labels.Take(shown)) + rest];
        }
    }

    private static string Why(Model broken)
    {
        var (file, key, message) = broken.Errors[0];
        var rest = broken.Errors.Count > 1 ? $" (and {broken.Errors.Count - 1} more: myelin models show {broken.Name})" : "";
        return $"{file} {key} {message}{rest}";
    }

    private static string Range(ModelParameter p) => p switch
    {
        { Choices: { } choices } => string.Join(" | ", choices),
        { Type: "string", Maximum: { } longest } => string.Create(CultureInfo.InvariantCulture, $"up to {longest} characters"),
        { Minimum: { } low, Maximum: { } high } => string.Create(CultureInfo.InvariantCulture, $"{low}..{high}"),
        { Minimum: { } low } => string.Create(CultureInfo.InvariantCulture, $"from {low}"),
        { Maximum: { } high } => string.Create(CultureInfo.InvariantCulture, $"up to {high}"),
        _ => "",
    };
}
