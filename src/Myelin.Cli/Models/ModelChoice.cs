namespace Myelin.Cli.Models;

/// <summary>Finds the model a command runs: the one named, or the only one that fits.</summary>
internal static class ModelChoice
{
    public static async Task<Model> FindAsync(MyelinClient client, string? name, IReadOnlyList<string> tasks, CancellationToken cancellationToken)
    {
        var models = await client.ModelsAsync(cancellationToken);
        return name is null ? Only(models, tasks) : Named(models, name, tasks);
    }

    private static Model Named(IReadOnlyList<Model> models, string name, IReadOnlyList<string> tasks)
    {
        var model = models.FirstOrDefault(m => m.Name == name)
            ?? throw new UsageException($"There is no model {name}. {List(models, tasks)} More: myelin catalogue list");
        if (model.State == "broken")
        {
            throw new UsageException($"The model {name} is broken:\n{string.Join('\n', model.Errors.Select(e => $"  {e.File}{(e.Key.Length > 0 ? $" ({e.Key})" : "")}: {e.Message}"))}");
        }

        return Fits(model, tasks)
            ? model
            : throw new UsageException($"{name} does {model.Task}, not {string.Join(" or ", tasks)}. {List(models, tasks)} Or: myelin run -m {name}");
    }

    private static Model Only(IReadOnlyList<Model> models, IReadOnlyList<string> tasks)
    {
        var fitting = models.Where(m => m.State != "broken" && Fits(m, tasks)).ToList();
        return fitting.Count == 1 ? fitting[0] : throw new UsageException((fitting.Count == 0 ? "" : "Several models fit: choose with -m. ") + List(models, tasks));
    }

    private static bool Fits(Model model, IReadOnlyList<string> tasks) => tasks.Count == 0 || (model.Task is { } task && tasks.Contains(task));

    private static string List(IReadOnlyList<Model> models, IReadOnlyList<string> tasks)
    {
        var names = models.Where(m => m.State != "broken" && Fits(m, tasks)).Select(m => m.Name).ToList();
        var kind = tasks.Count == 0 ? "" : $" for {string.Join(" or ", tasks)}";
        return names.Count == 0 ? $"The server has no model{kind}; install one: myelin catalogue list" : $"Models{kind}: {string.Join(", ", names)}.";
    }
}
