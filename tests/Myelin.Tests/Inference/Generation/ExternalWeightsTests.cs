using Myelin.Inference.Models;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Generation;

/// <summary>Networks over 2 GB keep their weights in files beside the graph; the runtime maps them.</summary>
public sealed class ExternalWeightsTests
{
    private static readonly string[] s_networks = ["text_encoder", "unet", "vae_decoder", "vae_encoder"];

    [Fact]
    public async Task Run_WeightsInFilesBesideTheGraphs_GivesTheSamePicture()
    {
        using var folder = Golden.Copy("tiny-sd");
        foreach (var network in s_networks)
        {
            var moved = ExternalWeights.Move(folder.File($"{network}/model.onnx"), folder.File($"{network}/model.onnx_data"));
            moved.ShouldBeGreaterThan(new FileInfo(folder.File($"{network}/model.onnx")).Length, network);
        }

        (await PictureAsync(folder.Path)).ShouldBe(await PictureAsync(Golden.Folder("tiny-sd")));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Load_WeightsMissingOrCutShort_NamesTheNetwork(bool missing)
    {
        using var folder = Golden.Copy("tiny-sd");
        var weights = folder.File("unet/model.onnx_data");
        ExternalWeights.Move(folder.File("unet/model.onnx"), weights);
        if (missing)
        {
            File.Delete(weights);
        }
        else
        {
            using var file = File.OpenWrite(weights);
            file.SetLength(file.Length / 2);
        }

        var errors = Should.Throw<ModelException>(() => Generations.LoadFolderAsync(folder.Path)).Errors;
        errors.Single().File.ShouldBe("1/unet/model.onnx");
        errors.Single().Message.ShouldContain(missing ? "model.onnx_data" : "can not be read in full");
    }

    private static async Task<byte[]> PictureAsync(string folder)
    {
        await using var task = await Generations.LoadFolderAsync(folder);
        var result = await task.RunAsync(Generations.Input(new { prompt = "a cat", steps = 3, seed = 7 }), new Events(), TestContext.Current.CancellationToken);
        return Generations.Pixels(result.Artifacts.Single().Bytes);
    }
}
