namespace Myelin.Cli.Jobs;

/// <summary>Brings a job's artifacts to files: whole or not at all, never a half-written picture.</summary>
internal static class ArtifactSaver
{
    public static async Task SaveAsync(MyelinClient client, JobArtifact artifact, string path, CancellationToken cancellationToken)
    {
        if (path == "-")
        {
            var pipe = Console.OpenStandardOutput();
            await using (pipe)
            {
                await client.DownloadAsync(artifact, pipe, null, cancellationToken);
            }

            return;
        }

        if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder)
        {
            Directory.CreateDirectory(folder);
        }

        var partial = path + ".part";
        try
        {
            await using (var file = File.Create(partial))
            {
                await client.DownloadAsync(artifact, file, null, cancellationToken);
            }

            File.Move(partial, path, overwrite: true);
        }
        finally
        {
            File.Delete(partial);
        }
    }

    /// <summary>The picture a person means by "the result": the annotated one, otherwise the first.</summary>
    public static JobArtifact? Picture(Job job) =>
        job.Artifacts.FirstOrDefault(a => a.Name.StartsWith("annotated", StringComparison.Ordinal))
        ?? job.Artifacts.FirstOrDefault(a => a.ContentType.StartsWith("image/", StringComparison.Ordinal) && !a.Name.StartsWith("preview", StringComparison.Ordinal));
}
