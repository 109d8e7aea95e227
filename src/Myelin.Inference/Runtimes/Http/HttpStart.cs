using System.Net;
using System.Text.Json;
using Myelin.Inference.Runtimes.Oip;
using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Http;

/// <summary>What a server says of itself and its model before the first call.</summary>
/// <param name="Path">Of the model, such as <c>v2/models/m/versions/1</c>.</param>
/// <param name="Follow">Calls can be followed.</param>
/// <param name="Product">What the server calls itself, such as <c>triton/2.40.0</c>.</param>
internal sealed record HttpStart(string Path, IReadOnlyList<TensorSpec> Inputs, IReadOnlyList<TensorSpec> Outputs, RuntimeCapabilities Capabilities, bool Follow, string? Product)
{
    private static readonly TimeSpan s_firstPause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan s_longestPause = TimeSpan.FromMilliseconds(250);

    /// <summary>Waits until server and model are ready, and reads what they say.</summary>
    /// <exception cref="RuntimeException">Not ready within the start timeout (retryable), or never: loading failed, there is no such model.</exception>
    public static async Task<HttpStart> AwaitAsync(HttpSidecar server, HttpOptions options, CancellationToken cancellationToken)
    {
        using var late = new CancellationTokenSource(options.StartTimeout, options.Time);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        var last = new string?[1];
        try
        {
            await ReadyAsync(server, "v2/health/ready", last, options.Time, patience.Token).ConfigureAwait(false);
            var model = options.Model ?? await OnlyModelAsync(server, patience.Token).ConfigureAwait(false);
            var path = $"v2/models/{Uri.EscapeDataString(model)}{(options.Version is { } version ? $"/versions/{Uri.EscapeDataString(version)}" : "")}";
            var (extensions, product) = await ServerAsync(server, patience.Token).ConfigureAwait(false);
            using var metadata = await server.AskAsync(HttpMethod.Get, path, patience.Token).ConfigureAwait(false);
            if (metadata.Json is null)
            {
                throw new RuntimeException(metadata.Error ?? $"{server.Name} answered {(int)metadata.Status} for the metadata of '{model}'", retryable: metadata.Status == HttpStatusCode.ServiceUnavailable)
                {
                    Code = metadata.Code ?? SidecarErrors.UnknownModel,
                };
            }

            await ReadyAsync(server, path + "/ready", last, options.Time, patience.Token).ConfigureAwait(false);
            return Read(path, metadata.Json.RootElement, extensions, product, options);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new RuntimeException($"{server.Name} was not ready within {options.StartTimeout.TotalSeconds:0.#} s: {last[0] ?? "no answer"}", retryable: true);
        }
    }

    private static async Task ReadyAsync(HttpSidecar server, string path, string?[] last, TimeProvider time, CancellationToken cancellationToken)
    {
        for (var pause = s_firstPause; ; pause = pause * 2 < s_longestPause ? pause * 2 : s_longestPause)
        {
            try
            {
                using var answer = await server.AskAsync(HttpMethod.Get, path, cancellationToken).ConfigureAwait(false);
                if (answer.Ok)
                {
                    return;
                }

                if (answer.Code == SidecarErrors.LoadFailed)
                {
                    throw new RuntimeException($"{server.Name} could not load: {answer.Error}", retryable: false) { Code = SidecarErrors.LoadFailed };
                }

                last[0] = answer.Error ?? $"{path} answers {(int)answer.Status}";
            }
            catch (RuntimeException notYet) when (notYet.Retryable)
            {
                last[0] = notYet.Message;
            }

            await Task.Delay(pause, time, cancellationToken).ConfigureAwait(false);
        }
    }

    private static async Task<string> OnlyModelAsync(HttpSidecar server, CancellationToken cancellationToken)
    {
        using var index = await server.AskAsync(HttpMethod.Post, "v2/repository/index", cancellationToken).ConfigureAwait(false);
        var names = index.Json is { RootElement: { ValueKind: JsonValueKind.Array } array }
            ? array.EnumerateArray().Select(model => model.Text("name")).OfType<string>().Distinct().ToList()
            : [];
        return names is [var only]
            ? only
            : throw new RuntimeException(
                $"say which model of {server.Name} is meant: {(names.Count > 0 ? "there are " + string.Join(", ", names) : "it does not list them")}", retryable: false);
    }

    private static async Task<(HashSet<string> Extensions, string? Product)> ServerAsync(HttpSidecar server, CancellationToken cancellationToken)
    {
        using var answer = await server.AskAsync(HttpMethod.Get, "v2", cancellationToken).ConfigureAwait(false);
        if (answer.Json?.RootElement is not { ValueKind: JsonValueKind.Object } root)
        {
            return ([], null);
        }

        var product = root.Text("name") is { } name ? root.Text("version") is { } version ? $"{name}/{version}" : name : null;
        return root.TryGetProperty("extensions", out var extensions) && extensions.ValueKind == JsonValueKind.Array
            ? ([.. extensions.EnumerateArray().Where(extension => extension.ValueKind == JsonValueKind.String).Select(extension => extension.GetString()!)], product)
            : ([], product);
    }

    private static HttpStart Read(string path, JsonElement model, HashSet<string> extensions, string? product, HttpOptions options)
    {
        try
        {
            var parameters = model.Object("parameters");
            var follow = extensions.Contains(OipExtensions.Progress);
            var concurrency = (int)Math.Clamp(parameters.Number(OipExtensions.Concurrency) ?? options.Concurrency, 1, 65_536);
            return new HttpStart(
                path,
                ReadSpecs(model, "inputs"),
                ReadSpecs(model, "outputs"),
                new RuntimeCapabilities(
                    "http",
                    concurrency,
                    follow && (parameters.Flag(OipExtensions.Progress) ?? true),
                    extensions.Contains(OipExtensions.Cancel),
                    parameters.Text(OipExtensions.Task)),
                follow,
                product);
        }
        catch (OipException wrong)
        {
            throw new RuntimeException($"the metadata of {path} breaks the Open Inference Protocol: {wrong.Message}", retryable: false, wrong);
        }
    }

    private static TensorSpec[] ReadSpecs(JsonElement model, string key)
    {
        if (!model.TryGetProperty(key, out var array) || array.ValueKind != JsonValueKind.Array)
        {
            return [];
        }

        return [.. array.EnumerateArray().Select(tensor =>
        {
            var name = tensor.Text("name") ?? throw new OipException(key, "has a tensor without a name");
            return ElementTypes.TryParse(tensor.Text("datatype"), out var type)
                && tensor.TryGetProperty("shape", out var shape) && shape.ValueKind == JsonValueKind.Array
                && shape.EnumerateArray().All(length => length.ValueKind == JsonValueKind.Number && length.TryGetInt64(out _))
                    ? new TensorSpec(name, type, [.. shape.EnumerateArray().Select(length => Math.Max(length.GetInt64(), -1))])
                    : throw new OipException(key, $"has no datatype or shape of '{name}' that this end knows");
        })];
    }
}
