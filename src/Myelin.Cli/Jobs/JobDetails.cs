using System.Globalization;
using Myelin.Cli.Terminal;

namespace Myelin.Cli.Jobs;

internal static class JobDetails
{
    /// <summary>Name and value of everything a person may want to know; nothing that is not there.</summary>
    public static IEnumerable<string[]> Rows(Job job)
    {
        yield return ["id", job.Id];
        yield return ["model", job.Model];
        yield return ["state", JobFollower.Describe(job)];
        yield return ["priority", job.Priority.ToString().ToLowerInvariant()];
        if (job.Key is { } key)
        {
            yield return ["key", key];
        }

        yield return ["attempt", job.Attempt.ToString(CultureInfo.InvariantCulture)];
        foreach (var (name, time) in new[]
        {
            ("submitted", job.CreatedAt), ("started", job.StartedAt), ("ended", job.EndedAt), ("deadline", job.Deadline), ("kept until", job.ExpiresAt),
        })
        {
            if (time is { } at)
            {
                yield return [name, at.ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture)];
            }
        }

        if (job.Parameters is { } parameters)
        {
            yield return ["parameters", parameters.GetRawText()];
        }

        foreach (var input in job.Inputs)
        {
            yield return ["input", $"{input.Name} ({input.ContentType}, {Readable.Bytes(input.Size)})"];
        }

        foreach (var artifact in job.Artifacts)
        {
            yield return ["artifact", $"{artifact.Name} ({artifact.ContentType}, {Readable.Bytes(artifact.Size)})"];
        }
    }
}
