using System.Net.Http.Json;
using System.Text;

namespace Myelin.Client;

/// <summary>Makes the body of one attempt to submit; a repeat needs a fresh one.</summary>
internal sealed class Submission(JobSubmission job, IProgress<TransferProgress>? progress)
{
    private readonly long[] _starts = [.. job.Files.Select(f => f.Content.CanSeek ? f.Content.Position : 0)];

    private readonly long? _total = job.Files.All(f => f.Content.CanSeek)
        ? job.Files.Sum(f => f.Content.Length - f.Content.Position)
        : null;

    private int _attempts;

    /// <summary>False once a stream that cannot seek has been handed out: what it held is gone.</summary>
    public bool CanRepeat => _attempts == 0 || job.Files.All(f => f.Content.CanSeek);

    public MultipartFormDataContent Body()
    {
        if (_attempts++ > 0)
        {
            for (var i = 0; i < _starts.Length; i++)
            {
                job.Files[i].Content.Position = _starts[i];
            }
        }

        // Fields go first: the server can refuse a wrong model before it has read the pictures.
        var form = new MultipartFormDataContent { { Text(job.Model), "model" } };
        if (job.Parameters is { } parameters)
        {
            form.Add(JsonContent.Create(parameters, JsonContext.Default.JsonElement), "parameters");
        }

        if (job.Priority is { } priority)
        {
            form.Add(Text(priority.ToString().ToLowerInvariant()), "priority");
        }

        if (job.Key is { } key)
        {
            form.Add(Text(key), "key");
        }

        if (job.Deadline is { } deadline)
        {
            form.Add(Text(deadline.ToString("O")), "deadline");
        }

        if (job.Callback is { } callback)
        {
            form.Add(JsonContent.Create(callback, JsonContext.Default.JobCallback), "callback");
        }

        long sent = 0;
        foreach (var file in job.Files)
        {
            form.Add(new UploadContent(file, n => progress?.Report(new(sent += n, _total))), file.Name, file.FileName ?? file.Name);
        }

        return form;
    }

    private static StringContent Text(string value) => new(value, Encoding.UTF8);
}
