using System.Net.Sockets;
using Myelin.Hosting.Accounts;
using Myelin.Hosting.Artifacts.S3;
using Myelin.Hosting.Bus.Kafka;
using Myelin.Hosting.Capabilities;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Health;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Hosting.Telemetry;
using Myelin.Hosting.Web;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Jobs;
using Myelin.Jobs.Dispatch;
using Myelin.Jobs.OpenTopics;
using Myelin.Jobs.Store;
using Myelin.Server.Gateway;
using Myelin.Server.Images;
using Myelin.Server.Inference;
using Myelin.Server.Inference.Calls;
using Myelin.Serving.Registry;

namespace Myelin.Server;

/// <summary>The composition root: options → a running process with its roles.</summary>
internal static class MyelinServer
{
    /// <summary>What a server consists of. Hosted services start in this order and stop in the reverse: what listens before what speaks.</summary>
    public static IReadOnlyList<Capability> Capabilities { get; } =
    [
        new ModelsCapability(), new JobsCapability(), new ImagesCapability(), new RegistryCapability(), new InferenceCapability(), new GatewayCapability(), new OpenTopicsCapability(),
    ];

    /// <summary>Beside the drain, which requests and jobs have at the same time: giving back, sidecars, models.</summary>
    private static readonly TimeSpan s_stop = TimeSpan.FromSeconds(30);

    /// <summary>Serves until it is told to stop. A second Ctrl-C does not wait for running work.</summary>
    /// <returns>0 after a clean stop, 1 when it could not start or could not go on.</returns>
    public static async Task<int> RunAsync(MyelinOptions options)
    {
        if (options.Runtime.Library is { } library)
        {
            Environment.SetEnvironmentVariable(OnnxOptions.LibraryVariable, library);
        }

        try
        {
            await using var app = Build(options);
            var stopping = app.Lifetime.ApplicationStopping;
            var fatal = app.Services.GetRequiredService<FatalErrors>();
            using var signals = new StopSignals(app.Lifetime);
            try
            {
                foreach (var warning in RolesCheck.Warnings(options).Concat([DataFolder.Warning(options.Data)]).OfType<string>())
                {
                    await Console.Error.WriteLineAsync(warning);
                }

                // Waits for the database here, not inside the host's start, which would call an end meanwhile a failure.
                app.Services.GetRequiredService<IJobStore>();
                if (options.Runs(Role.Gateway) && await ListenCheck.RefusalAsync(options, app.Services.GetRequiredService<IKeyStore>(), stopping) is { } refusal)
                {
                    await Console.Error.WriteLineAsync(refusal);
                    return 1;
                }

                app.Lifetime.ApplicationStarted.Register(() => Greet(app));
                await app.RunAsync();
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                // Told to end while it was starting, as by `docker stop` while the database is away: that is an end in order too.
            }

            return fatal.First is null ? 0 : 1;
        }
        catch (SocketException e)
        {
            await Console.Error.WriteLineAsync($"{options.Urls}: {e.Message}; is that an address of this machine, and may this user have its port?");
            return 1;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The address or a folder is taken or not ours: the message tells the cure, the stack would hide it.
            await Console.Error.WriteLineAsync(e.Message);
            return 1;
        }
    }

    /// <summary>What cannot work together of settings that were read, each with key and cure.</summary>
    public static IEnumerable<string> Errors(MyelinOptions options) =>
    [
        .. WorkerListener.Errors(options), .. SharedSecret.Errors(options), .. PriorityWeights.Errors(options),
        .. PostgresSources.Errors(options), .. KafkaClient.Errors(options), .. S3Artifacts.Errors(options),
    ];

    /// <summary>The whole application, not yet started. Tests use it to run a server in their own process.</summary>
    public static WebApplication Build(MyelinOptions options) => Build(options, static _ => { }, Capabilities);

    /// <param name="options">Checked settings.</param>
    /// <param name="more">Adds to or replaces what the server is made of; for tests.</param>
    /// <param name="capabilities">What it consists of.</param>
    public static WebApplication Build(MyelinOptions options, Action<IServiceCollection> more, IReadOnlyList<Capability> capabilities)
    {
        DataFolder.MakeFirst(options.Data);
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions
        {
            ApplicationName = typeof(MyelinServer).Assembly.GetName().Name,
            ContentRootPath = AppContext.BaseDirectory,
            EnvironmentName = Environments.Production,
        });
        var listener = WorkerListener.Of(options);
        builder.WebHost.UseUrls([.. FormAttribute.Addresses(options.Urls), .. listener.Urls()]);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ConfigureEndpointDefaults(listener.Mark));
        BoundedServer.Install(builder.Services);
        builder.Logging.AddMyelinLogging(options.Telemetry);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = options.Worker.DrainTimeout + s_stop);
        builder.Services.AddSingleton(options).AddSingleton(TimeProvider.System);
        builder.Services.AddCapabilities(capabilities, options);
        more(builder.Services);
        var app = builder.Build();
        if (listener.IsOpen)
        {
            app.UseMiddleware<WorkerCallMiddleware>();
        }

        app.UseMyelin();
        app.MapTelemetry();
        if (options.Runs(Role.Gateway))
        {
            foreach (var capability in capabilities)
            {
                capability.MapEndpoints(app);
            }
        }

        return app;
    }

    private static void Greet(WebApplication app)
    {
        var address = app.Urls.First().Replace("0.0.0.0", "127.0.0.1", StringComparison.Ordinal);
        var options = app.Services.GetRequiredService<MyelinOptions>();
        if (!options.Runs(Role.Gateway))
        {
            Console.WriteLine($"\n  Myelin is ready as {options.Roles}: {address}/health/ready   {address}/metrics\n");
            return;
        }

        Console.WriteLine($"""

              Myelin is ready: {address}      API: {address}/docs

              curl -F model=faces -F image=@photo.jpg '{address}/v1/jobs?wait=30s'

            """);
    }
}
