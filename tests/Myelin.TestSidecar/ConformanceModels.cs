using System.Buffers.Binary;
using System.Text;
using Myelin.Inference.Runtimes;
using Myelin.Protocol;
using Myelin.Sidecar;

namespace Myelin.TestSidecar;

/// <summary>The models of the conformance suite, in the order of their index.</summary>
public static class ConformanceModels
{
    public const int Concurrency = 16;

    /// <summary>Place of <c>big</c> in the list.</summary>
    public const int BigIndex = 7;

    public static SidecarModel[] Create() =>
    [
        new TestModel("identity", (call, _) => new(Identity(call))),
        new TestModel("double", (call, _) => new(Double(call)))
        {
            Takes = [new TensorSpec("x", ElementType.Float32, [-1])],
            Gives = [new TensorSpec("y", ElementType.Float32, [-1])],
        },
        new TestModel("sleep", SleepAsync),
        new TestModel("fail", (call, _) => throw new RuntimeException(Text(call.Inputs["message"]), retryable: false)),
        new TestModel("progress", (call, _) => new(Progress(call))) { Reports = true },
        new TestModel("crash", (_, _) => { Environment.Exit(7); return default; }),
        new TestModel("hang", async (call, _) => { await BegunAsync(call); await Task.Delay(Timeout.Infinite, CancellationToken.None); return null!; }),
        new TestModel("big", (call, _) => new(Big(call))),
    ];

    private static TensorSet Identity(SidecarCall call) => new([.. call.Inputs.Select(input =>
    {
        // BYTES cannot be rented by shape: its size is in its elements.
        var output = input.Type == ElementType.Bytes
            ? new Tensor(input.Name, input.Type, input.Shape, new byte[input.Bytes.Length])
            : call.Rent(input.Name, input.Type, input.Shape);
        input.Bytes.Span.CopyTo(output.Bytes.Span);
        return output;
    })]);

    private static TensorSet Double(SidecarCall call)
    {
        var x = call.Inputs["x"];
        var y = call.Rent("y", ElementType.Float32, x.Shape);
        var from = x.As<float>();
        var to = y.As<float>();
        for (var i = 0; i < from.Length; i++)
        {
            to[i] = 2 * from[i];
        }

        return new TensorSet([y]);
    }

    /// <summary>With a <c>gate</c>, a path, makes <c>path.begun</c> and waits for the path in place of the time.</summary>
    private static async ValueTask<TensorSet> SleepAsync(SidecarCall call, CancellationToken cancellationToken)
    {
        var milliseconds = Number(call.Inputs["ms"]);
        if (await BegunAsync(call) is { } gate)
        {
            while (!File.Exists(gate))
            {
                await Task.Delay(5, cancellationToken);
            }

            return Numbers("ms", milliseconds);
        }

        await Task.Delay(TimeSpan.FromMilliseconds(milliseconds), cancellationToken);
        return Numbers("ms", milliseconds);
    }

    /// <summary>Says that it computes; null without a <c>gate</c>.</summary>
    private static async Task<string?> BegunAsync(SidecarCall call)
    {
        var gate = call.Inputs.FirstOrDefault(input => input.Name == "gate") is { } tensor ? Text(tensor) : null;
        if (gate is not null)
        {
            await File.WriteAllTextAsync(gate + ".begun", "");
        }

        return gate;
    }

    private static TensorSet Progress(SidecarCall call)
    {
        var steps = Number(call.Inputs["steps"]);
        var preview = Enumerable.Range(0, 16).Select(i => (byte)i).ToArray();
        for (var step = 1; step <= steps; step++)
        {
            call.Report(new RuntimeProgress(step, (int)steps, preview));
        }

        return Numbers("steps", steps);
    }

    private static TensorSet Big(SidecarCall call)
    {
        var y = call.Rent("y", ElementType.UInt8, Number(call.Inputs["bytes"]));
        var bytes = y.Bytes.Span;
        for (var i = 0; i < Math.Min(251, bytes.Length); i++)
        {
            bytes[i] = (byte)i;
        }

        for (var done = 251; done < bytes.Length; done *= 2)
        {
            bytes[..Math.Min(done, bytes.Length - done)].CopyTo(bytes[done..]);
        }

        return new TensorSet([y]);
    }

    private static long Number(Tensor tensor) => tensor.As<long>()[0];

    private static string Text(Tensor tensor) =>
        Encoding.UTF8.GetString(tensor.Bytes.Span.Slice(4, BinaryPrimitives.ReadInt32LittleEndian(tensor.Bytes.Span)));

    private static TensorSet Numbers(string name, long value) => new([Tensor.Of<long>(name, ElementType.Int64, [value], 1)]);
}

/// <summary>A model made of a function.</summary>
public sealed class TestModel(string name, Func<SidecarCall, CancellationToken, ValueTask<TensorSet>> infer) : SidecarModel
{
    public override string Name { get; } = name;

    public override int Concurrency => ConformanceModels.Concurrency;

    public IReadOnlyList<TensorSpec> Takes { get; init; } = [];

    public IReadOnlyList<TensorSpec> Gives { get; init; } = [];

    public bool Reports { get; init; }

    public override bool Progress => Reports;

    public override IReadOnlyList<TensorSpec> Inputs => Takes;

    public override IReadOnlyList<TensorSpec> Outputs => Gives;

    public override ValueTask<TensorSet> InferAsync(SidecarCall call, CancellationToken cancellationToken) => infer(call, cancellationToken);
}
