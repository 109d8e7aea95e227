using System.Text.Json;
using System.Threading.Channels;
using Microsoft.Extensions.DependencyInjection;
using Myelin.Inference.Tasks;
using Myelin.Serving.Admission;
using Myelin.Serving.Models;

namespace Myelin.Tests.Gateway;

/// <summary>A task that does what the test says, when it says it: stands in for every model of the worker.</summary>
internal sealed class ManualTask : ITask
{
    private readonly Channel<Call> _calls = Channel.CreateUnbounded<Call>();

    /// <summary>Replaces what the worker runs.</summary>
    public void Install(IServiceCollection services) =>
        services.AddSingleton<AcquireTask>((_, _) => ValueTask.FromResult(new TaskLease(this, static () => { })));

    /// <summary>The next run that a worker has begun.</summary>
    public ValueTask<Call> NextAsync() => _calls.Reader.ReadAsync(new CancellationTokenSource(TimeSpan.FromSeconds(30)).Token);

    public async Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken)
    {
        var call = new Call(input, progress);
        _calls.Writer.TryWrite(call);
        return await call.Result.Task.WaitAsync(cancellationToken);
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    internal sealed record Call(TaskInput Input, IProgress<TaskProgress> Progress)
    {
        public TaskCompletionSource<TaskResult> Result { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Finish(params TaskArtifact[] artifacts) =>
            Result.SetResult(new TaskResult(JsonSerializer.SerializeToUtf8Bytes(new { findings = 1 }), artifacts));
    }
}

/// <summary>Finishes at once: for tests of what is around the work.</summary>
internal sealed class InstantTask : ITask
{
    public static void Install(IServiceCollection services) =>
        services.AddSingleton<AcquireTask>((_, _) => ValueTask.FromResult(new TaskLease(new InstantTask(), static () => { })));

    public Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken) =>
        Task.FromResult(new TaskResult("{}"u8.ToArray(), []));

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
