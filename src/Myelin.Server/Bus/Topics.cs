namespace Myelin.Server.Bus;

/// <summary>Names of topics; a public contract once the bus is Kafka.</summary>
internal static class Topics
{
    /// <summary>Signals of what happened to jobs: state, progress, end. Key: the job.</summary>
    public const string Events = "myelin.events";

    /// <summary>Requests to workers, such as a cancel. Every process gets each.</summary>
    public const string Control = "myelin.control";

    /// <summary>Every topic that says "look at this job".</summary>
    public const string AllJobs = "myelin.jobs.*";

    /// <summary>Says "look at this job" for one model and class. Key: the job's key.</summary>
    public static string Jobs(string model, JobPriority priority) => priority switch
    {
        JobPriority.High => $"myelin.jobs.{model}.high",
        JobPriority.Low => $"myelin.jobs.{model}.low",
        _ => $"myelin.jobs.{model}.normal",
    };
}
