using System.Collections.Concurrent;

namespace Myelin.Server.Images;

/// <summary>The checkpoint that each tenant chose by <c>POST /sdapi/v1/options</c>. Kept in memory: a restart goes back to the default.</summary>
internal sealed class A1111Settings
{
    private const int Limit = 10_000;

    private readonly ConcurrentDictionary<string, string> _models = [];

    public string? Model(string tenant) => _models.GetValueOrDefault(tenant);

    public void Choose(string tenant, string model)
    {
        if (_models.Count < Limit || _models.ContainsKey(tenant))
        {
            _models[tenant] = model;
        }
    }
}
