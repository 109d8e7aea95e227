using Myelin.Testing;
using Xunit;

namespace Myelin.Tests.Images;

/// <summary>A server with a tiny Stable Diffusion folder as its text-to-image model <c>tiny-sd</c>, shared by a class of tests.</summary>
public sealed class TinyDiffusion : IAsyncLifetime
{
    public const string Model = "tiny-sd";

    private readonly TemporaryFolder _models = new();

    internal RunningServer? Server { get; private set; }

    internal RunningServer Require()
    {
        Shared.Require("goldens", Model);
        return Server!;
    }

    public async ValueTask InitializeAsync()
    {
        var goldens = Path.Combine(Shared.Folder, "goldens", Model);
        if (Directory.Exists(goldens))
        {
            var folder = Directory.CreateDirectory(_models.Combine(Model)).FullName;
            await File.WriteAllTextAsync(Path.Combine(folder, "model.yaml"), "task: text-to-image\n");
            Directory.CreateSymbolicLink(Path.Combine(folder, "1"), goldens);
            Server = await RunningServer.StartAsync(o => o with { Models = _models.Path });
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (Server is not null)
        {
            await Server.DisposeAsync();
        }

        _models.Dispose();
    }
}
