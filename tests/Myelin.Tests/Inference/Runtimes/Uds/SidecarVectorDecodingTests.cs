using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Myelin.Protocol;
using Myelin.Protocol.Sidecars;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Uds;

/// <summary>The codec alone against the vectors: every frame that a reader must see is seen as the vector says.</summary>
public sealed class SidecarVectorDecodingTests
{
    [Theory]
    [MemberData(nameof(SidecarVector.All), MemberType = typeof(SidecarVector))]
    public void Decode_Vector_GivesItsFrames(string name)
    {
        var vector = SidecarVector.Get(name);
        ReadOnlySpan<byte> bytes = vector.Bytes;
        foreach (var expected in vector.Frames)
        {
            JsonObject? seen = null;
            while (seen is null)
            {
                var header = FrameHeader.Read(bytes);
                seen = Describe(header, bytes.Slice(FrameHeader.Bytes, header.Length), vector);
                bytes = bytes[(FrameHeader.Bytes + header.Length)..];
            }

            JsonNode.DeepEquals(seen, expected).ShouldBeTrue($"{seen.ToJsonString()}\nis not\n{expected!.ToJsonString()}");
        }

        if (vector.Error is null && bytes.Length > 0)
        {
            (FrameHeader.Read(bytes).Type >= FrameType.Extension).ShouldBeTrue("nothing but extensions may be left");
        }
    }

    /// <summary>As the vectors write it; null for an extension.</summary>
    private static JsonObject? Describe(FrameHeader header, ReadOnlySpan<byte> payload, SidecarVector vector)
    {
        var seen = new JsonObject { ["type"] = header.Type.ToString().ToUpperInvariant(), ["call"] = header.Call };
        switch (header.Type)
        {
            case FrameType.Hello:
                var (min, max) = vector.FromWorker ? Worker(payload) : Sidecar(payload);
                (seen["min"], seen["max"], seen["json"]) = (min, max, JsonNode.Parse(payload[8..]));
                break;
            case FrameType.Ready:
                Ready.Read(payload).Models.Count.ShouldBeGreaterThan(0);
                seen["json"] = JsonNode.Parse(payload);
                break;
            case FrameType.Infer or FrameType.Result:
                Head(seen, payload, vector);
                break;
            case FrameType.Data:
                seen["bytes"] = payload.Length;
                break;
            case FrameType.Error:
                var error = SidecarError.Read(payload);
                (seen["code"], seen["message"], seen["retryable"]) = (error.Code, error.Message, error.Retryable);
                break;
            case FrameType.Progress:
                var progress = ProgressFrame.Read(payload);
                (seen["step"], seen["steps"], seen["preview"]) = (progress.Step, progress.Steps, Convert.ToHexStringLower(progress.Preview));
                break;
            case FrameType.Ping or FrameType.Pong:
                seen["payload"] = Convert.ToHexStringLower(payload);
                break;
            case >= FrameType.Extension:
                return null;
            default:
                break;
        }

        return seen;
    }

    private static (ushort Min, ushort Max) Worker(ReadOnlySpan<byte> payload)
    {
        var (min, max, hello) = Hello.ReadWorker(payload);
        hello.MaxCalls.ShouldBe((int)JsonNode.Parse(payload[8..])!["maxCalls"]!);
        return (min, max);
    }

    private static (ushort Min, ushort Max) Sidecar(ReadOnlySpan<byte> payload)
    {
        var (version, hello) = Hello.ReadSidecar(payload);
        hello.Ring.ShouldBe((bool)JsonNode.Parse(payload[8..])!["ring"]!);
        return (version, version);
    }

    private static void Head(JsonObject seen, ReadOnlySpan<byte> payload, SidecarVector vector)
    {
        var part = vector.Context("ring")?[vector.FromWorker ? "inputs" : "outputs"]?.Deserialize<RingPart>(JsonSerializerOptions.Web);
        var head = CallHead.Read(payload, part);
        (seen["model"], seen["time"], seen["inline"]) = (head.Model, head.Time, head.Inline);
        seen["parameters"] = head.Parameters.IsEmpty ? new JsonObject() : JsonNode.Parse(head.Parameters);
        var tensors = new JsonArray();
        var again = new byte[payload.Length];
        var writer = new CallHeadWriter(again, head.Model, head.Count, head.Parameters.Length, head.Time, head.Inline);
        foreach (var tensor in head)
        {
            tensors.Add(new JsonObject
            {
                ["name"] = Encoding.UTF8.GetString(tensor.Name),
                ["datatype"] = tensor.Type.WireName(),
                ["shape"] = new JsonArray([.. tensor.Shape().Select(dimension => (JsonNode)dimension)]),
                ["place"] = tensor.Place == TensorPlace.Ring ? "ring" : "inline",
                ["offset"] = tensor.Offset,
                ["bytes"] = tensor.Bytes,
            });
            writer.Tensor(Encoding.UTF8.GetString(tensor.Name), tensor.Type, tensor.Shape(), tensor.Place, tensor.Offset, tensor.Bytes);
        }

        seen["tensors"] = tensors;
        writer.Parameters(head.Parameters);
        again.ShouldBe(payload.ToArray(), "written again it is the same bytes");
    }
}
