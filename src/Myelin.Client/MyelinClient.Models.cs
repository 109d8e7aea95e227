namespace Myelin.Client;

public sealed partial class MyelinClient
{
    /// <summary>Every model of the server, broken ones too, with their contracts.</summary>
    public async Task<IReadOnlyList<Model>> ModelsAsync(CancellationToken cancellationToken) =>
        (await _transport.GetAsync("v1/models", JsonContext.Default.PageModel, cancellationToken).ConfigureAwait(false)).Data;

    public Task<Model> ModelAsync(string name, CancellationToken cancellationToken) =>
        _transport.GetAsync("v1/models/" + Uri.EscapeDataString(name), JsonContext.Default.Model, cancellationToken);

    /// <summary>Loads a model again from its folder, under traffic: sidecars start anew; one that was given up is tried again.</summary>
    public async Task<Model> ReloadModelAsync(string name, CancellationToken cancellationToken)
    {
        using var response = await _transport.SendAsync(
            () => new(HttpMethod.Post, _transport.Resolve($"v1/models/{Uri.EscapeDataString(name)}/reload")), static () => true, cancellationToken).ConfigureAwait(false);
        return await Transport.ReadAsync(response, JsonContext.Default.Model, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Workers that registered, silent ones too. Needs an admin key where keys are asked for.</summary>
    public async Task<IReadOnlyList<WorkerInfo>> WorkersAsync(CancellationToken cancellationToken) =>
        (await _transport.GetAsync("v1/workers", JsonContext.Default.PageWorkerInfo, cancellationToken).ConfigureAwait(false)).Data;

    /// <summary>Known public models, installed or not.</summary>
    public async Task<IReadOnlyList<CatalogueEntry>> CatalogueAsync(CancellationToken cancellationToken) =>
        (await _transport.GetAsync("v1/catalogue", JsonContext.Default.PageCatalogueEntry, cancellationToken).ConfigureAwait(false)).Data;

    /// <summary>Begins to install a model of the catalogue. The job that is returned is watched like any other.</summary>
    public async Task<Job> InstallAsync(string name, CancellationToken cancellationToken)
    {
        var key = NewKey();
        using var response = await _transport.SendAsync(
            () =>
            {
                var request = new HttpRequestMessage(HttpMethod.Post, _transport.Resolve($"v1/catalogue/{Uri.EscapeDataString(name)}/install"));
                request.Headers.Add("Idempotency-Key", key);
                return request;
            },
            static () => true,
            cancellationToken).ConfigureAwait(false);
        return await Transport.ReadAsync(response, JsonContext.Default.Job, cancellationToken).ConfigureAwait(false);
    }
}
