using System.Diagnostics;
using System.Numerics.Tensors;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Http;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks;
using Myelin.Protocol.Sidecars;
using Myelin.Testing;
using Myelin.Tests.Inference;
using Shouldly;
using Xunit;
using TemporaryFolder = Myelin.Tests.Inference.TemporaryFolder;

namespace Myelin.Tests.Sidecars.Http;

/// <summary>A real detector in a process of its own, <c>myelin-sidecar --listen http://… FOLDER</c>, beside the same in this one.</summary>
public class DetectorOverHttpTests
{
    [Fact]
    public async Task YoloxNano_InASidecar_GivesWhatItGivesHere()
    {
        using var temporary = new TemporaryFolder();
        var folder = VisionModels.Folder("yolox-nano", temporary);
        using var sidecar = Start(Path.Combine(folder, "1"), out var address);
        try
        {
            await using var there = await HttpRuntime.ConnectAsync(new HttpOptions { Address = address, StartTimeout = TimeSpan.FromSeconds(30) }, CancellationToken.None);
            await using var here = OnnxRuntime.Load(Path.Combine(folder, "1", "model.onnx"), new OnnxOptions());
            there.Inputs.Select(Text).ShouldBe(here.Inputs.Select(Text));
            there.Outputs.Select(Text).ShouldBe(here.Outputs.Select(Text));

            await SameTensorsAsync(there, here);
            var definition = ModelFolder.Load(folder)[^1];
            var bytes = await File.ReadAllBytesAsync(Shared.Sample("winml_dog.jpg"));
            (await DetectAsync(definition, new OneRuntime(there), bytes)).ShouldBe(await DetectAsync(definition, new OneRuntime(here), bytes));
        }
        finally
        {
            using var kill = Process.Start("kill", ["-TERM", $"{sidecar.Id}"]);
            await sidecar.WaitForExitAsync();
        }

        sidecar.ExitCode.ShouldBe(0);
    }

    private static async Task SameTensorsAsync(IRuntime there, IRuntime here)
    {
        using var input = there.Rent(here.Inputs[0].Name, here.Inputs[0].Type, 1, 3, 416, 416);
        var random = new Random(8);
        foreach (ref var value in input.As<float>())
        {
            value = random.Next(256);
        }

        using var expected = await here.InferAsync([input], CancellationToken.None);
        using var given = await there.InferAsync([input], CancellationToken.None);
        given.Count.ShouldBe(expected.Count);
        foreach (var tensor in expected)
        {
            given[tensor.Name].Shape.ShouldBe(tensor.Shape);
            TensorPrimitives.Distance<float>(given[tensor.Name].As<float>(), tensor.As<float>()).ShouldBeLessThan(1e-2f);
        }
    }

    private static async Task<string> DetectAsync(ModelDefinition definition, IRuntimeSource source, byte[] picture)
    {
        await using var task = await TaskLoader.CreateAsync(definition, source, new ImagingLimits(), CancellationToken.None);
        var result = await task.RunAsync(VisionModels.Picture(picture), new Progress<TaskProgress>(), CancellationToken.None);
        using var json = System.Text.Json.JsonDocument.Parse(result.Json);
        var detections = json.RootElement.GetProperty("detections").EnumerateArray().ToList();
        detections.ShouldNotBeEmpty();
        return string.Join('\n', detections.Select(detection =>
            $"{detection.GetProperty("label")} {detection.GetProperty("score").GetDouble():0.00} {string.Join(',', detection.GetProperty("box").EnumerateArray().Select(v => Math.Round(v.GetDouble())))}"));
    }

    private static string Text(TensorSpec spec) => $"{spec.Name} {spec.Type} [{string.Join(',', spec.Shape)}]";

    private static Process Start(string folder, out SidecarAddress address)
    {
        address = new SidecarAddress(SidecarTransport.Http, null, new Uri($"http://127.0.0.1:{ServerProcess.FreePort()}"));
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "myelin-sidecar"), ["--listen", address.ToString(), folder]);
        start.Environment["ORT_DISABLE_TELEMETRY"] = "1";
        return Process.Start(start)!;
    }
}
