using Myelin.Protocol.Sidecars;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>
/// A model of a sidecar that is reached over a Unix domain socket: a view of a <see cref="UdsConnection"/>, which several models
/// share. Protocol: docs/sidecar-protocol.md. Disposing interrupts what runs if the connection is its own.
/// </summary>
public sealed class UdsRuntime : IRuntime
{
    private readonly UdsConnection _connection;
    private readonly bool _ownsConnection;
    private readonly int _model;
    private readonly RuntimeCounter _counter = new();

    internal UdsRuntime(UdsConnection connection, bool ownsConnection, string? model)
    {
        (_connection, _ownsConnection, _model) = (connection, ownsConnection, Find(connection.Models, model));
        var ready = connection.Models[_model];
        Inputs = Specs(ready.Inputs);
        Outputs = Specs(ready.Outputs);
        Capabilities = new RuntimeCapabilities("uds", ready.Concurrency, ready.Progress, ready.Cancel, ready.Task);
    }

    public IReadOnlyList<TensorSpec> Inputs { get; }

    public IReadOnlyList<TensorSpec> Outputs { get; }

    public RuntimeCapabilities Capabilities { get; }

    public RuntimeStatistics Statistics => _counter.Statistics;

    /// <summary>Completes with the reason when the connection has ended; never faults.</summary>
    public Task<UdsLoss> Lost => _connection.Lost;

    public UdsConnection Connection => _connection;

    /// <summary>Connects to a sidecar and waits until it is ready. The connection belongs to the runtime.</summary>
    /// <exception cref="RuntimeException">There is no sidecar, it cannot serve, or it has no such model; the message says why.</exception>
    public static async Task<UdsRuntime> ConnectAsync(UdsOptions options, CancellationToken cancellationToken)
    {
        var connection = await UdsConnection.ConnectAsync(options, loading: null, cancellationToken).ConfigureAwait(false);
        try
        {
            return new UdsRuntime(connection, ownsConnection: true, options.Model);
        }
        catch
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <inheritdoc/>
    /// <remarks>Memory of the ring where a place is free and the tensor is worth one. The content is whatever was there.</remarks>
    public Tensor Rent(string name, ElementType type, params long[] shape) =>
        RingTensor.TryRent(_connection.Arena, _connection.Options.InlineBelow, name, type, shape) ?? Tensor.Rent(name, type, shape);

    public async ValueTask<TensorSet> InferAsync(IReadOnlyList<Tensor> inputs, IProgress<RuntimeProgress>? progress, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        _counter.Begin();
        try
        {
            var call = await _connection.BeginAsync(_model, inputs, progress, cancellationToken).ConfigureAwait(false);
            UdsAnswer answer;
            using (cancellationToken.UnsafeRegister(static (state, token) => ((CancelState)state!).Cancel(token), new CancelState(_connection, call)))
            {
                answer = await call.Task.ConfigureAwait(false);
            }

            if (BytesElements.Refuse(answer.Outputs) is { } refusal)
            {
                answer.Outputs.Dispose();
                throw new RuntimeException($"the sidecar's answer is malformed: {refusal}", retryable: false) { Code = SidecarErrors.Failed };
            }

            _counter.Succeeded(answer.Compute);
            return answer.Outputs;
        }
        catch (Exception fault)
        {
            _counter.Ended(fault, cancellationToken);
            throw;
        }
    }

    public async ValueTask DrainAsync(CancellationToken cancellationToken) =>
        await _counter.DrainAsync().WaitAsync(cancellationToken).ConfigureAwait(false);

    public async ValueTask DisposeAsync()
    {
        _ = _counter.DrainAsync(); // refuses new calls
        if (_ownsConnection)
        {
            await _connection.DisposeAsync().ConfigureAwait(false);
        }
    }

    private static int Find(IReadOnlyList<ReadyModel> models, string? name)
    {
        if (name is null && models.Count == 1)
        {
            return 0;
        }

        for (var i = 0; i < models.Count; i++)
        {
            if (models[i].Name == name)
            {
                return i;
            }
        }

        var known = string.Join(", ", models.Select(model => model.Name));
        throw new RuntimeException($"the sidecar serves {known}: {(name is null ? "name one of them" : $"no '{name}'")}", retryable: false) { Code = SidecarErrors.UnknownModel };
    }

    private static TensorSpec[] Specs(IReadOnlyList<ReadyTensor>? tensors) =>
        [.. (tensors ?? []).Select(tensor => new TensorSpec(tensor.Name, ElementTypes.TryParse(tensor.Datatype, out var type) ? type : default, tensor.Shape))];

    private sealed record CancelState(UdsConnection Connection, UdsCall Call)
    {
        public void Cancel(CancellationToken cancellationToken) => Connection.Cancel(Call, cancellationToken);
    }
}
