using System.Net;
using Amazon.Runtime;

namespace Myelin.Hosting.Artifacts.S3;

/// <summary>The one table from what the SDK throws to what it means here. No message holds a key.</summary>
internal static class S3Faults
{
    /// <summary>What the SDK throws when the server, the network or a request fails. Its own timeout is a cancellation that <paramref name="callers"/> did not ask for.</summary>
    public static bool IsFault(Exception fault, CancellationToken callers) => fault switch
    {
        ArtifactsFullException or ArtifactsUnavailableException => false,
        OperationCanceledException => !callers.IsCancellationRequested,
        _ => fault is AmazonServiceException or AmazonClientException or HttpRequestException or IOException or TimeoutException,
    };

    public static IOException ToArtifacts(Exception fault) => fault switch
    {
        AmazonServiceException { StatusCode: HttpStatusCode.InsufficientStorage } or AmazonServiceException { ErrorCode: "QuotaExceeded" or "XMinioStorageFull" } =>
            new ArtifactsFullException($"S3 has no space: {fault.Message}", fault),
        AmazonServiceException service => new ArtifactsUnavailableException($"S3 refused: {service.ErrorCode} ({(int)service.StatusCode}). {Cure(service.ErrorCode)}", fault),
        _ => new ArtifactsUnavailableException($"S3 cannot be reached or did not answer: {(fault.InnerException ?? fault).Message}", fault),
    };

    /// <summary>At the start: waiting does not help where the bucket, the keys or the region is wrong.</summary>
    public static bool IsHopeless(Exception fault) => fault.InnerException is AmazonServiceException { StatusCode: HttpStatusCode.Forbidden or HttpStatusCode.NotFound or HttpStatusCode.BadRequest or HttpStatusCode.MovedPermanently };

    private static string Cure(string? code) => code switch
    {
        "NoSuchBucket" => "Create the bucket, set artifacts.s3.createBucket, or another artifacts.s3.bucket.",
        "SignatureDoesNotMatch" or "InvalidAccessKeyId" or "AccessDenied" or "NotSignedUp" => "Check artifacts.s3.accessKey, .secretKey and what they may do.",
        "AuthorizationHeaderMalformed" or "PermanentRedirect" => "Check artifacts.s3.region.",
        "RequestTimeTooSkewed" => "Set this machine's clock.",
        _ => "",
    };
}
