using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Myelin.Hosting.Configuration;

internal sealed record ArtifactsOptions
{
    public S3Options S3 { get; init; } = new();
}

/// <summary>Blobs in an S3 bucket, shared by several processes. Without <see cref="Bucket"/> they are files in the data folder.</summary>
internal sealed record S3Options
{
    [Description("Bucket for the blobs. Empty = files in the data folder.")]
    public string Bucket { get; init; } = "";

    [Description("Make the bucket at the start where it is not there.")]
    public bool CreateBucket { get; init; }

    [Description("Address of an S3 server, such as http://s3:9000. Empty = AWS in artifacts.s3.region.")]
    [Form(Form.Server)]
    public string Endpoint { get; init; } = "";

    [Description("Region that requests are signed for.")]
    [Form(Form.Region)]
    public string Region { get; init; } = "us-east-1";

    [Description("Access key. Empty = what the machine has (AWS environment variables, profile, instance role).")]
    public string AccessKey { get; init; } = "";

    [Description("Secret key. A secret: set it in the environment.")]
    public string SecretKey { get; init; } = "";

    [Description("Put before every blob's key, so that installations share a bucket; such as staging/. Default: myelin/, or nothing where the database was made by a version that had no default.")]
    public string? Prefix { get; init; }

    [Description("The bucket in the path of the address and not in its host name; servers other than AWS mostly want that.")]
    public bool PathStyle { get; init; } = true;

    [Description("Blobs above this are sent in parts of this size, one of which is held in memory per upload.")]
    [Range(5 << 20, 512 << 20)]
    public int PartBytes { get; init; } = 8 << 20;

    [Description("How long one request may take, a part's transfer included.")]
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan Timeout { get; init; } = TimeSpan.FromMinutes(1);

    [Description("Further attempts of a request that failed on the way or was told to slow down.")]
    [Range(0, 20)]
    public int Retries { get; init; } = 3;

    [Description("Address of the S3 server as clients reach it, for the links of ?redirect=true; empty = artifacts.s3.endpoint.")]
    [Form(Form.Server)]
    public string LinkEndpoint { get; init; } = "";

    [Description("How long a link of ?redirect=true reads its blob.")]
    [Range(typeof(TimeSpan), "00:00:10", "7.00:00:00")]
    public TimeSpan LinkLifetime { get; init; } = TimeSpan.FromMinutes(5);

    [Description("How long the start waits for an S3 server that is not there yet.")]
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00")]
    public TimeSpan StartTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Never the keys.</summary>
    public override string ToString() => $"bucket {Bucket} at {(Endpoint.Length > 0 ? Endpoint : "AWS " + Region)}";
}
