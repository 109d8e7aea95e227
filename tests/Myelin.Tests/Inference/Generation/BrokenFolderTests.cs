using System.Text.Json;
using System.Text.Json.Nodes;
using Myelin.Inference.Models;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Generation;

public sealed class BrokenFolderTests
{
    [Theory]
    [InlineData("unet/model.onnx")]
    [InlineData("vae_decoder/model.onnx")]
    [InlineData("text_encoder/model.onnx")]
    [InlineData("tokenizer/vocab.json")]
    [InlineData("tokenizer/merges.txt")]
    [InlineData("scheduler/scheduler_config.json")]
    [InlineData("unet/config.json")]
    [InlineData("vae_decoder/config.json")]
    [InlineData("model_index.json")]
    public void Load_MissingPart_NamesTheFile(string file) => Faults(folder => File.Delete(folder.File(file))).ShouldContain(e => e.File == $"1/{file}");

    [Theory]
    [InlineData("unet/model.onnx")]
    [InlineData("vae_encoder/model.onnx")]
    [InlineData("text_encoder/model.onnx")]
    public void Load_TruncatedWeights_NamesTheFile(string file) => Faults(folder =>
    {
        var bytes = File.ReadAllBytes(folder.File(file));
        File.WriteAllBytes(folder.File(file), bytes[..(bytes.Length / 2)]);
    }).Single().File.ShouldBe($"1/{file}");

    [Theory]
    [InlineData("scheduler/scheduler_config.json", "_class_name", "MagicScheduler")]
    [InlineData("scheduler/scheduler_config.json", "beta_start", "low")]
    [InlineData("unet/config.json", "in_channels", 5)]
    [InlineData("vae_decoder/config.json", "latent_channels", -4)]
    public void Load_WrongValue_NamesFileAndKey(string file, string key, object value) => Faults(folder =>
    {
        var json = JsonNode.Parse(File.ReadAllText(folder.File(file)))!.AsObject();
        json[key] = JsonValue.Create(JsonSerializer.SerializeToElement(value));
        File.WriteAllText(folder.File(file), json.ToJsonString());
    }).ShouldContain(e => e.File == $"1/{file}" && e.Key == key);

    [Fact]
    public void Load_SeveralFaults_ListsThemAll()
    {
        var errors = Faults(folder =>
        {
            File.WriteAllText(folder.File("scheduler/scheduler_config.json"), "{\"_class_name\": ");
            File.Delete(folder.File("unet/config.json"));
            File.Delete(folder.File("vae_decoder/model.onnx"));
        });

        errors.Select(e => e.File).ShouldBe(["1/scheduler/scheduler_config.json", "1/unet/config.json", "1/vae_decoder/model.onnx"], ignoreOrder: true);
        errors.ShouldAllBe(e => e.Message.Length > 10);
    }

    [Fact]
    public void Load_NetworksOfAnotherPipeline_NamesTheUnet() => Faults(folder =>
    {
        File.Delete(folder.File("unet/config.json"));
        File.Copy(Golden.Folder("tiny-sd") + "/unet/config.json", folder.File("unet/config.json"));
        File.Delete(folder.File("unet/model.onnx"));
        File.Copy(Golden.Folder("tiny-lcm") + "/unet/model.onnx", folder.File("unet/model.onnx"));
    }).ShouldContain(e => e.File == "1/unet/config.json" && e.Key == "time_cond_proj_dim");

    /// <summary>What loading a copy of tiny-sd says after <paramref name="harm"/> was done to it.</summary>
    private static IReadOnlyList<ModelError> Faults(Action<TemporaryFolder> harm)
    {
        using var folder = Golden.Copy("tiny-sd");
        harm(folder);
        return Should.Throw<ModelException>(() => Generations.LoadFolderAsync(folder.Path)).Errors;
    }
}
