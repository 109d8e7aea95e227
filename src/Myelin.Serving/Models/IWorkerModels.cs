namespace Myelin.Serving.Models;

/// <summary>Models that workers said they have, as far as this process knows; a snapshot at each call.</summary>
internal interface IWorkerModels
{
    IReadOnlyCollection<ModelEntry> List();

    ModelEntry? Find(string name);

    /// <summary>Live workers that have the model and could run it.</summary>
    int Count(string name);
}
