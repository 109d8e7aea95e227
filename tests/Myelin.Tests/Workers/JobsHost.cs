using System.Collections.Immutable;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Myelin.Hosting.Configuration;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks;
using Myelin.Jobs;
using Myelin.Jobs.Attempts;
using Myelin.Protocol;
using Myelin.Serving.Admission;
using Myelin.Serving.Models;
using Myelin.Testing;
using Shouldly;

namespace Myelin.Tests.Workers;

/// <summary>
/// The server's own services for jobs, started as the server starts them, over a real data folder. Only the models are
/// the test's: a task per name.
/// </summary>
internal sealed class JobsHost : IAsyncDisposable
{
    /// <summary>Longer than anything takes that works, also on a machine with much else to do.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(90);

    private readonly IHost _host;

    private JobsHost(IHost host) => _host = host;

    public JobService Jobs => Get<JobService>();

    public static MyelinOptions Options(TemporaryFolder folder) => new()
    {
        Data = folder.Path,
        Jobs = new JobsOptions { RetryDelay = TimeSpan.FromMilliseconds(10), MinimumFreeBytes = 0, CoordinatorInterval = TimeSpan.FromMilliseconds(100) },
        Worker = new WorkerOptions { Concurrency = 4, DrainTimeout = TimeSpan.FromSeconds(20) },
    };

    public static async Task<JobsHost> StartAsync(MyelinOptions options, Dictionary<string, ITask> models, bool worker = true, Action<IServiceCollection>? more = null)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Logging.AddProvider(new TestOutputLogger());
        builder.Services.AddSingleton(options).AddSingleton(TimeProvider.System);
        builder.Services.AddJobs();
        if (worker)
        {
            builder.Services.AddWorker();
            builder.Services.AddSingleton<AcquireTask>(async (model, token) =>
            {
                await Task.Yield();
                token.ThrowIfCancellationRequested();
                return models.TryGetValue(model, out var task)
                    ? new TaskLease(task, () => { })
                    : throw new ModelException([new ModelError(model, "", "is not in the repository")]);
            });
        }

        builder.Services.AddCoordinator();
        more?.Invoke(builder.Services);
        var host = builder.Build();
        await host.StartAsync();
        return new JobsHost(host);
    }

    public T Get<T>() where T : notnull => _host.Services.GetRequiredService<T>();

    public async Task<JobRecord> SubmitAsync(JobSubmission submission)
    {
        var result = await Jobs.SubmitAsync(submission, CancellationToken.None);
        result.Status.ShouldBe(SubmitStatus.Accepted);
        return result.Job!;
    }

    public Task<JobRecord> SubmitAsync(string model, string parameters = "{}") =>
        SubmitAsync(new JobSubmission { Tenant = "t", Model = model, Parameters = Encoding.UTF8.GetBytes(parameters) });

    /// <summary>The job after its end; fails when that takes absurdly long.</summary>
    public async Task<JobRecord> EndAsync(string id)
    {
        var job = (await Jobs.WaitAsync(id, s_patience, CancellationToken.None))!;
        job.State.IsEnd().ShouldBeTrue($"still {job.State}");
        return job;
    }

    public Task StopAsync() => _host.StopAsync();

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        await ((IAsyncDisposable)_host).DisposeAsync();
    }

    public static ImmutableArray<SubmittedFile> File(string name, string content) =>
        [new SubmittedFile(name, "text/plain", new MemoryStream(Encoding.UTF8.GetBytes(content)))];
}

/// <summary>A task that is the test's own code.</summary>
internal sealed class TestTask(Func<TaskInput, IProgress<TaskProgress>, CancellationToken, Task<TaskResult>> run) : ITask
{
    public static TaskResult Done(string json = """{"ok":true}""", params TaskArtifact[] artifacts) => new(Encoding.UTF8.GetBytes(json), artifacts);

    public Task<TaskResult> RunAsync(TaskInput input, IProgress<TaskProgress> progress, CancellationToken cancellationToken) => run(input, progress, cancellationToken);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>Puts the server's log beside the test's result.</summary>
internal sealed class TestOutputLogger : ILoggerProvider, ILogger
{
    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Xunit.TestContext.Current.TestOutputHelper?.WriteLine($"{logLevel} {formatter(state, exception)} {exception}");

    public void Dispose()
    {
    }
}
