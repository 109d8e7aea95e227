using System.Text;
using System.Text.Json;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks;
using Myelin.Inference.Tasks.Tensors;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Tasks;

public sealed class SourcedTaskTests
{
    /// <summary>The memory of a sidecar or a GPU is not this process's.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task MemoryOf_WhatComputesElsewhere_IsNothing(bool here)
    {
        using var folders = new ModelFolders();
        var definition = ModelFolder.Load(folders.AddIris())[^1];
        var network = OnnxRuntime.Load(Path.Combine(definition.Folder, "model.onnx"), new OnnxOptions());
        await using var task = await TaskLoader.CreateAsync(definition, new OneRuntime(network, here), new ImagingLimits(), TestContext.Current.CancellationToken);
        var files = new Dictionary<string, TaskFile> { ["inputs"] = new("application/json", Encoding.UTF8.GetBytes(new string(' ', 1000))) };
        using var tensor = Myelin.Inference.Runtimes.Tensor.Rent("input", Myelin.Protocol.ElementType.Float32, 100, 4);

        (task.MemoryOf(new TaskInput(files, default(JsonElement))).Bytes > 0).ShouldBe(here);
        (((ITensorTask)task).MemoryOf([tensor]).Bytes > 0).ShouldBe(here);
    }

    [Theory]
    [InlineData("cpu", true)]
    [InlineData("cuda", false)]
    [InlineData("cuda:1", false)]
    public async Task Source_OfADevice_ComputesHereOnTheCpuOnly(string device, bool here)
    {
        await using var source = new OnnxRuntimeSource("/nowhere", new OnnxOptions { Device = device });

        source.ComputesHere.ShouldBe(here);
    }
}
