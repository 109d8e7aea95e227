namespace Myelin.Hosting.Bus;

/// <summary>Names of topics; a public contract once the bus is Kafka.</summary>
internal static class Topics
{
    /// <summary>Signals of what happened to jobs: state, progress, end. Key: the job.</summary>
    public const string Events = "myelin.events";

    /// <summary>Requests to workers, such as a cancel. Every process gets each.</summary>
    public const string Control = "myelin.control";

    /// <summary>Messages that nobody could use, each with the reason in its headers.</summary>
    public const string DeadLetters = "myelin.dead-letters";

    /// <summary>Jobs from programs that only speak Kafka: the body of <c>POST /v1/jobs</c>.</summary>
    public const string JobsIn = "myelin.jobs.in";

    /// <summary>What became of them: the accepted job or the problem, later the ended job.</summary>
    public const string JobsOut = "myelin.jobs.out";

    private const string JobsPrefix = "myelin.jobs.";
    private const string FramesPrefix = "myelin.frames.";

    /// <summary>Whether processes tell each other of jobs by this topic: signals, requests, hints; not the open topics.</summary>
    public static bool ConcernsJobs(string topic) =>
        topic is Events or Control || (topic.StartsWith(JobsPrefix, StringComparison.Ordinal) && topic is not (JobsIn or JobsOut));

    /// <summary>Encoded pictures of one stream; <c>*</c> for all streams.</summary>
    public static string Frames(string stream) => FramesPrefix + stream;

    /// <summary>JSON results of a stream's frames.</summary>
    public static string Results(string stream) => $"myelin.results.{stream}";

    /// <summary>Pictures made of a stream's frames.</summary>
    public static string Annotated(string stream) => $"myelin.annotated.{stream}";

    /// <summary>The stream of a topic of frames.</summary>
    public static string StreamOf(string topic) => topic[FramesPrefix.Length..];

    /// <summary>Every topic that says "look at this job" for one class.</summary>
    public static string AllJobs(JobPriority priority) => $"{JobsPrefix}*.{Class(priority)}";

    /// <summary>Says "look at this job" for one model and class. Key: the job's key.</summary>
    public static string Jobs(string model, JobPriority priority) => $"{JobsPrefix}{model}.{Class(priority)}";

    /// <summary>The group of workers that share the hints of one class.</summary>
    public static string Workers(JobPriority priority) => $"workers.{Class(priority)}";

    private static string Class(JobPriority priority) => priority switch
    {
        JobPriority.High => "high",
        JobPriority.Low => "low",
        _ => "normal",
    };
}
