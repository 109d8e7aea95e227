namespace Myelin.Serving.Registry;

/// <summary>Where workers register. Lives where the jobs live, so that who can take a job can also be known.</summary>
internal interface IWorkerStore
{
    /// <summary>Writes the whole row, new or known.</summary>
    ValueTask RegisterAsync(WorkerRow worker, CancellationToken cancellationToken);

    /// <summary>Renews the row but for its models.</summary>
    /// <returns>False where there is none: register again.</returns>
    ValueTask<bool> BeatAsync(WorkerRow worker, CancellationToken cancellationToken);

    /// <summary>Every row, silent ones too, without models; oldest first.</summary>
    ValueTask<IReadOnlyList<WorkerRow>> ListAsync(CancellationToken cancellationToken);

    /// <summary>What a worker has; null where it is not registered.</summary>
    ValueTask<IReadOnlyList<Model>?> ModelsAsync(string id, CancellationToken cancellationToken);

    /// <summary>Deletes rows that expired before then.</summary>
    ValueTask<int> ForgetAsync(DateTimeOffset before, CancellationToken cancellationToken);
}
