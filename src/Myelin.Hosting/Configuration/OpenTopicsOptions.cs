using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Myelin.Hosting.Configuration;

/// <summary>Topics through which programs that only speak Kafka use this server. All off by default: the brokers' rights decide who may write there.</summary>
internal sealed record OpenTopicsOptions
{
    [Description("Streams whose frames come by Kafka (myelin.frames.<stream>), comma-separated; * = every such topic; empty = none.")]
    public string Streams { get; init; } = "";

    [Description("Model for frames that name none in the header model.")]
    public string Model { get; init; } = "";

    [Description("Frames of one partition that wait; beyond that the oldest is dropped. 0 = none is dropped, the topic waits.")]
    [Range(0, 10_000)]
    public int Backlog { get; init; } = 8;

    [Description("Frames one process works on at a time. 0 = as many as processors.")]
    [Range(0, 1024)]
    public int Concurrency { get; init; }

    [Description("Take jobs from myelin.jobs.in.")]
    public bool Jobs { get; init; }

    [Description("Tenant that work from Kafka belongs to.")]
    public string Tenant { get; init; } = "local";

    [Description("Models that work from Kafka may name, comma-separated; * = all.")]
    public string Models { get; init; } = "*";
}
