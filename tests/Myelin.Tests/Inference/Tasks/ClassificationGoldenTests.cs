using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Tasks;

public class ClassificationGoldenTests
{
    [Theory]
    [InlineData("shufflenet-v2", "winml_hummingbird.jpg", "hummingbird", 0.9)]
    [InlineData("shufflenet-v2", "ortext_wolves.jpg", "white wolf", 0.8)]
    [InlineData("shufflenet-v2", "winml_cat.jpg", "Egyptian cat", 0.5)]
    [InlineData("shufflenet-v2", "winml_kitten_224.png", "tabby", 0.9)]
    [InlineData("cifar10", "winml_cat.jpg", "cat", 0.5)]
    [InlineData("cifar10", "winml_dog.jpg", "dog", 0.5)]
    public async Task Classifier_SamplePicture_NamesWhatItShows(string model, string sample, string label, double atLeast)
    {
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync(model, folder);
        var (json, result) = await VisionModels.Run(task, sample);

        Goldens.Show("classes", $"{model}/{sample}", json, result.Artifacts.Single().Bytes);
        var best = json.GetProperty("classes")[0];
        best.GetProperty("label").GetString().ShouldBe(label);
        best.GetProperty("score").GetDouble().ShouldBeGreaterThan(atLeast);
    }
}
