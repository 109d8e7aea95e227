using System.Text.Json;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Oip;

namespace Myelin.Sidecar.Http;

/// <summary>A call that came over HTTP.</summary>
/// <param name="followed">Takes the progress; null where the caller gave the call no name.</param>
internal sealed class HttpSidecarCall(OipMessage request, FollowedCall? followed) : SidecarCall
{
    public override TensorSet Inputs => request.Tensors;

    public override JsonElement Parameters => request.Parameters;

    public override void Report(RuntimeProgress progress) => followed?.Report(progress);
}
