using System.Text.Json;
using Myelin.Inference;
using Myelin.Inference.Tasks;
using Myelin.Protocol;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Tasks;

public class TaskContractsTests
{
    [Fact]
    public void For_BuiltInFaces_HasTheModelsOwnDefaults()
    {
        using var folder = new TemporaryFolder();
        var contract = TaskContracts.For(ModelFolder.Load(VisionModels.Folder("faces", folder))[0]);

        contract.Task.ShouldBe("object-detection");
        contract.Files.Single().ShouldBe(new ModelInput("image", "image", true, contract.Files[0].Description));
        contract.Parameters.Select(p => p.Name).ShouldBe(["threshold", "iou", "maxDetections", "annotate"]);
        contract.Parameters[0].Default!.Value.GetDouble().ShouldBe(0.6);
    }

    [Theory]
    [InlineData("{}", null)]
    [InlineData("null", null)]
    [InlineData("""{"threshold": 0.5, "annotate": false, "maxDetections": 10}""", null)]
    [InlineData("""{"treshold": 0.5}""", "parameters.treshold: is not a parameter of object-detection (did you mean 'threshold'?)")]
    [InlineData("""{"threshold": 1.5}""", "parameters.threshold: must be from 0 to 1")]
    [InlineData("""{"threshold": "high"}""", "parameters.threshold: must be a number")]
    [InlineData("""{"threshold": 1e999}""", "parameters.threshold: must be from 0 to 1")]
    [InlineData("""{"maxDetections": 1.5}""", "parameters.maxDetections: must be a whole number")]
    [InlineData("""{"maxDetections": 0}""", "parameters.maxDetections: must be from 1 to 10000")]
    [InlineData("""{"annotate": "yes"}""", "parameters.annotate: must be true or false")]
    [InlineData("[]", "parameters: must be a JSON object")]
    [InlineData("3", "parameters: must be a JSON object")]
    public void Check_Parameters_AcceptsOrNamesTheField(string json, string? error)
    {
        using var folder = new TemporaryFolder();
        var contract = TaskContracts.For(ModelFolder.Load(VisionModels.Folder("faces", folder))[0]);

        var errors = TaskContracts.Check(contract, JsonDocument.Parse(json).RootElement);

        if (error is null)
        {
            errors.ShouldBeEmpty();
        }
        else
        {
            errors.Select(e => $"{e.Field}: {e.Message}").Single().ShouldStartWith(error);
        }
    }

    [Fact]
    public void Check_SeveralWrong_ReportsAll()
    {
        var contract = new TaskContract("t", [],
        [
            new ModelParameter("prompt", "string", "what to draw") { Required = true, Minimum = 1, Maximum = 5 },
            new ModelParameter("width", "integer", "pixels") { Minimum = 64, Maximum = 512, MultipleOf = 8 },
            new ModelParameter("sampler", "string", "method") { Choices = ["euler", "ddim"] },
        ]);

        TaskContracts.Check(contract, JsonDocument.Parse("""{"width": 100, "sampler": "x"}""").RootElement)
            .Select(e => $"{e.Field} {e.Message}")
            .ShouldBe(["parameters.width must be a multiple of 8", "parameters.sampler must be one of: euler, ddim", "parameters.prompt is required: what to draw"]);
        TaskContracts.Check(contract, JsonDocument.Parse("""{"prompt": "far too long"}""").RootElement)
            .Single().Message.ShouldBe("must have from 1 to 5 characters, and has 12");
    }
}
