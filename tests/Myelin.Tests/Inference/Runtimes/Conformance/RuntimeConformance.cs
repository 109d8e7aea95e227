using Myelin.Inference.Runtimes;
using Myelin.Protocol;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Conformance;

/// <summary>What holds for every runtime. A transport joins by deriving a class; see <see cref="SidecarConformance{T}"/> for the rest.</summary>
public abstract class RuntimeConformance<T>(T transport) : IClassFixture<T>, IAsyncLifetime where T : RuntimeTransport
{
    protected T Transport { get; } = transport;

    public virtual ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public virtual async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        await Transport.CheckAsync();
    }

    [Theory]
    [MemberData(nameof(Tensors.FixedTypes), MemberType = typeof(Tensors))]
    public async Task Infer_ElementType_ComesBackUnchanged(ElementType type)
    {
        await using var runtime = await Transport.OpenAsync("identity", new TensorSpec("x", type, [-1]));
        using var x = Tensors.Filled(Tensor.Rent("x", type, 37), seed: (int)type);

        using var outputs = await runtime.InferAsync([x], Token);

        Tensors.ShouldEqual(outputs.Single(), x);
    }

    [Theory]
    [InlineData(new long[0])]
    [InlineData(new long[] { 0 })]
    [InlineData(new long[] { 3, 0, 7 })]
    [InlineData(new long[] { 1 })]
    [InlineData(new long[] { 1, 2, 1, 3, 1, 2, 1, 2 })]
    [InlineData(new long[] { 2, 3, 2, 3, 2, 3, 5, 31 })]
    public async Task Infer_Shape_ComesBackUnchanged(long[] shape)
    {
        await using var runtime = await Transport.OpenAsync("identity", new TensorSpec("x", ElementType.Float32, shape));
        using var x = Tensors.Filled(Tensor.Rent("x", ElementType.Float32, shape), seed: 5);

        using var outputs = await runtime.InferAsync([x], Token);

        Tensors.ShouldEqual(outputs.Single(), x);
    }

    [Fact]
    public async Task Infer_Bytes_ComeBackUnchanged()
    {
        await using var runtime = await Transport.OpenAsync("identity", new TensorSpec("text", ElementType.Bytes, [-1]));
        using var text = Tensors.Text("text", "", "Grüße", "\0nul", new string('x', 100_000), "日本");

        using var outputs = await runtime.InferAsync([text], Token);

        Tensors.ShouldEqual(outputs.Single(), text);
    }

    [Theory]
    [InlineData(20_000_000)]
    [InlineData(100_000_000)]
    public async Task Infer_LargeTensor_ComesBackUnchanged(int bytes)
    {
        await using var runtime = await Transport.OpenAsync("identity", new TensorSpec("x", ElementType.UInt8, [-1]));
        using var x = Tensors.Filled(Tensor.Rent("x", ElementType.UInt8, bytes), seed: 9);

        using var outputs = await runtime.InferAsync([x], Token);

        Tensors.ShouldEqual(outputs.Single(), x);
    }

    [Fact]
    public async Task Infer_RentedInput_ComesBackUnchanged()
    {
        await using var runtime = await Transport.OpenAsync("identity", new TensorSpec("x", ElementType.UInt8, [-1]));
        for (var round = 0; round < 20; round++)
        {
            using var x = Tensors.Filled(runtime.Rent("x", ElementType.UInt8, 1_000_000 + round), seed: round);

            using var first = await runtime.InferAsync([x], Token);
            using var second = await runtime.InferAsync([x], Token);

            Tensors.ShouldEqual(first.Single(), x);
            Tensors.ShouldEqual(second.Single(), x);
        }
    }

    [Fact]
    public async Task Infer_ThousandAtOnce_EachGetsItsOwnAnswer()
    {
        await using var runtime = await Transport.OpenAsync("identity", new TensorSpec("x", ElementType.UInt8, [-1]));

        await Task.WhenAll(Enumerable.Range(0, 1000).Select(async index =>
        {
            // From a few bytes to some that are worth a place in shared memory.
            using var x = Tensors.Filled(runtime.Rent("x", ElementType.UInt8, 1 + (index * 7919L % 60_000)), seed: index);
            using var outputs = await runtime.InferAsync([x], Token);
            Tensors.ShouldEqual(outputs.Single(), x);
        }));

        runtime.Statistics.ShouldSatisfyAllConditions(
            counts => counts.Calls.ShouldBe(1000),
            counts => counts.Running.ShouldBe(0),
            counts => counts.Failures.ShouldBe(0));
    }

    [Fact]
    public async Task Infer_CancelledBefore_IsNeverSent()
    {
        await using var runtime = await Transport.OpenAsync("identity", new TensorSpec("x", ElementType.UInt8, [-1]));
        using var x = Tensor.Rent("x", ElementType.UInt8, 1);

        await Should.ThrowAsync<OperationCanceledException>(async () => await runtime.InferAsync([x], new CancellationToken(canceled: true)));

        runtime.Statistics.Calls.ShouldBe(0);
    }

    [Fact]
    public async Task Drain_Idle_RefusesNewCalls()
    {
        await using var runtime = await Transport.OpenAsync("identity", new TensorSpec("x", ElementType.UInt8, [-1]));
        using var x = Tensor.Rent("x", ElementType.UInt8, 1);

        await runtime.DrainAsync(Token);

        await Should.ThrowAsync<ObjectDisposedException>(async () => await runtime.InferAsync([x], Token));
    }

    /// <summary>Ends a test that hangs.</summary>
    protected static CancellationToken Token => TestContext.Current.CancellationToken;
}
