using System.Buffers;
using System.IO.Pipelines;

namespace Myelin.Inference.Runtimes.Oip;

/// <summary>The answer to a request: the outputs it asked for, the JSON first, then the tensors it wants as bytes.</summary>
internal sealed class OipReply
{
    // What is handed to the connection before it is waited for: the server copies it into its own buffers.
    private const int Slice = 256 << 10;

    private readonly ReadOnlyMemory<byte> _head;
    private readonly List<Tensor> _binary;

    /// <param name="model">The network's name.</param>
    /// <param name="version">The revision that ran.</param>
    /// <param name="request">What was asked for.</param>
    /// <param name="outputs">What there is; stays the caller's, and must live until the answer is written.</param>
    /// <param name="compute">How long computing took.</param>
    /// <exception cref="OipException">An output is asked for that there is not.</exception>
    public OipReply(string model, string version, OipMessage request, TensorSet outputs, TimeSpan compute)
    {
        bool Binary(Tensor output) => request.Requested.FirstOrDefault(requested => requested.Name == output.Name).Binary ?? request.BinaryOutput;
        var chosen = Choose(request, outputs);
        _head = OipWriter.Answer(model, version, request.Id, compute, chosen, Binary);
        _binary = [.. chosen.Where(Binary)];
    }

    /// <summary>Bytes of the body.</summary>
    public long Length => _head.Length + _binary.Sum(tensor => (long)tensor.Bytes.Length);

    /// <summary>Of <see cref="OipReader.HeadLengthHeader"/>; null where all is JSON.</summary>
    public int? HeadLength => _binary.Count > 0 ? _head.Length : null;

    public string ContentType => _binary.Count > 0 ? "application/octet-stream" : "application/json";

    /// <summary>Writes the body; the headers have been sent before.</summary>
    public async Task WriteAsync(PipeWriter body, CancellationToken cancellationToken)
    {
        var waiting = 0;
        foreach (var part in _binary.Select(tensor => (ReadOnlyMemory<byte>)tensor.Bytes).Prepend(_head))
        {
            for (var at = 0; at < part.Length; at += Slice)
            {
                var slice = part.Slice(at, Math.Min(Slice, part.Length - at));
                body.Write(slice.Span);
                waiting += slice.Length;
                if (waiting >= Slice)
                {
                    await body.FlushAsync(cancellationToken).ConfigureAwait(false);
                    waiting = 0;
                }
            }
        }

        await body.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    private static IReadOnlyList<Tensor> Choose(OipMessage request, TensorSet outputs) => request.Requested.Count == 0
        ? outputs
        : [.. request.Requested.Select(requested => outputs.FirstOrDefault(output => output.Name == requested.Name)
            ?? throw new OipException("outputs", $"asks for '{requested.Name}'; there are: {string.Join(", ", outputs.Select(output => output.Name))}"))];
}
