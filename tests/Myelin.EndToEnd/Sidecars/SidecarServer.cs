using System.Globalization;
using System.Text.Json;
using Myelin.Client;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Sidecars;

/// <summary>
/// The real server with a models folder of its own and, in it, models that Python executes. Their sidecar does a whole
/// task: it looks at a picture, and at the word of the parameter <c>mode</c> crashes, hangs or freezes.
/// </summary>
internal sealed class SidecarServer : IAsyncDisposable
{
    private const string Script = """
        import hashlib, os, subprocess, sys, time
        from myelin_sidecar import Model, artifacts, serve

        if os.environ.get("CHILD"):
            subprocess.Popen(["sleep", "3600"])

        class Looker(Model):
            task = "picture-facts"
            version = os.environ.get("VERSION", "0")
            concurrency = 4

            def infer(self, call):
                parameters = call.json()
                mode = parameters.get("mode", "look")
                if mode == "crash":
                    print("the lens is broken", file=sys.stderr, flush=True)
                    os._exit(7)
                if mode == "hang":
                    time.sleep(3600)
                if mode == "freeze":
                    os.kill(os.getpid(), 19)
                    time.sleep(3600)
                for step in range(parameters.get("steps", 0)):
                    call.check()
                    time.sleep(0.05)
                    call.progress(step + 1, parameters["steps"])
                picture = call.bytes("image")
                facts = {"pid": os.getpid(), "version": self.version, "sha256": hashlib.sha256(picture).hexdigest()}
                return artifacts({"copy.jpg": picture}, facts)

        serve(Looker())
        """;

    private readonly TemporaryFolder _folder = new();

    private SidecarServer(Dictionary<string, string>? settings, IReadOnlyList<string>? through)
    {
        Assert.SkipUnless(File.Exists("/usr/bin/python3"), "needs python3");
        Server = new ServerProcess(environment: new Dictionary<string, string>(settings ?? [])
        {
            ["MYELIN_MODELS"] = Models,
            ["PATH"] = "/usr/bin:" + Environment.GetEnvironmentVariable("PATH"), // the python3 that Debian's packages are for
        })
        {
            Through = through ?? [],
        };
        Client = new MyelinClient(Server.Http);
    }

    public static string PythonPath { get; } = Path.Combine(Shared.Root, "sidecars", "python");

    public static string Picture { get; } = Path.Combine(Shared.Root, "samples", "sign.jpg");

    public ServerProcess Server { get; }

    public MyelinClient Client { get; }

    public string Models => _folder.Combine("models");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static async Task<SidecarServer> StartAsync(Action<SidecarServer> models, Dictionary<string, string>? settings = null, IReadOnlyList<string>? through = null)
    {
        var server = new SidecarServer(settings, through);
        Directory.CreateDirectory(server.Models);
        models(server);
        await server.Server.StartAsync(Token);
        return server;
    }

    /// <summary>Writes the model <c>looker</c>; <paramref name="sidecar"/> is the rest of its section, a line an entry.</summary>
    public void Write(string runtime, string top = "", string environment = "", params string[] sidecar) => Write(Models, runtime, top, environment, sidecar);

    public static void Write(string models, string runtime, string top = "", string environment = "", params string[] sidecar)
    {
        var folder = Directory.CreateDirectory(Path.Combine(models, "looker")).FullName;
        File.WriteAllText(Path.Combine(folder, "serve.py"), Script);
        var lines = sidecar.Any(line => line.StartsWith("address", StringComparison.Ordinal)) ? sidecar :
        [
            "command: [/usr/bin/python3, serve.py]",
            $"environment: {{PYTHONPATH: '{PythonPath}'{(environment.Length > 0 ? ", " + environment : "")}}}",
            .. sidecar,
        ];
        File.WriteAllText(Path.Combine(folder, "model.yaml"), $$"""
            task: picture-facts
            runtime: {{runtime}}
            {{top}}
            contract:
              files: [{name: image}]
              parameters: [{name: mode}, {name: steps, type: integer, minimum: 0, maximum: 10000}]
            sidecar:
            {{string.Join('\n', lines.Select(line => "  " + line))}}
            """);
    }

    public async Task<Job> SubmitAsync(string parameters = "{}", string model = "looker")
    {
        await using var picture = File.OpenRead(Picture);
        using var json = JsonDocument.Parse(parameters);
        return await Client.SubmitAsync(new JobSubmission(model) { Files = [new("image", picture, "image/jpeg")], Parameters = json.RootElement }, Token);
    }

    public async Task<Job> RunAsync(string parameters = "{}", string model = "looker") =>
        await Client.WaitAsync((await SubmitAsync(parameters, model)).Id, Token);

    public Task<Model> ModelAsync() => Client.ModelAsync("looker", Token);

    public async Task<int> PidAsync() => (await ModelAsync()).Runtime!.Processes.Single().Pid!.Value;

    /// <summary>A sample of /metrics, such as <c>myelin_sidecar_up{model="looker"}</c>.</summary>
    public async Task<double> MetricAsync(string sample)
    {
        var page = await Server.Http.GetStringAsync(new Uri("/metrics", UriKind.Relative), Token);
        var line = page.Split('\n').SingleOrDefault(l => l.StartsWith(sample + " ", StringComparison.Ordinal)).ShouldNotBeNull($"{sample} in\n{page}");
        return double.Parse(line[(sample.Length + 1)..].Split(' ')[0], CultureInfo.InvariantCulture);
    }

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        _folder.Dispose();
    }
}
