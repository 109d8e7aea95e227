using System.Text;
using System.Text.Json;
using Myelin.Inference;
using Myelin.Inference.Tasks;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Tasks;

public class TensorTaskTests
{
    [Fact]
    public async Task Iris_TwoRows_GivesTwoRowsOfThreeLogits()
    {
        var json = await Run("""[{"name": "input", "shape": [2, 4], "datatype": "FP32", "data": [[5.1, 3.5, 1.4, 0.2], [6.7, 3, 5.2, 2.3]]}]""");

        var output = json.GetProperty("outputs")[0];
        output.GetProperty("name").GetString().ShouldBe("output");
        output.GetProperty("datatype").GetString().ShouldBe("FP32");
        output.GetProperty("shape").EnumerateArray().Select(v => v.GetInt32()).ShouldBe([2, 3]);
        output.GetProperty("data").GetArrayLength().ShouldBe(6);
        json.GetProperty("timings").GetProperty("inferMs").GetDouble().ShouldBeGreaterThan(0);
    }

    [Fact]
    public async Task Iris_FlatDataInAnObject_GivesTheSame()
    {
        var nested = await Run("""[{"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [[5.1, 3.5, 1.4, 0.2]]}]""");
        var flat = await Run("""{"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}]}""");

        flat.GetProperty("outputs").GetRawText().ShouldBe(nested.GetProperty("outputs").GetRawText());
    }

    [Theory]
    [InlineData("""{"inputs": 3}""", "input.inputs", "must be an array")]
    [InlineData("[]", "input.inputs", "must be an array")]
    [InlineData("not json", "input.inputs", "is not JSON")]
    [InlineData("[3]", "input.inputs[0]", "must be an object")]
    [InlineData("""[{"name": "x"}]""", "input.inputs[0].name", "must be one of the network's inputs: input")]
    [InlineData("""[{"name": "input", "datatype": "INT64"}]""", "input.inputs[0].datatype", "must be FP32")]
    [InlineData("""[{"name": "input", "datatype": "FP32", "shape": [4]}]""", "input.inputs[0].shape", "must be [-1,4]")]
    [InlineData("""[{"name": "input", "datatype": "FP32", "shape": [-1, 4]}]""", "input.inputs[0].shape", "must be [-1,4]")]
    [InlineData("""[{"name": "input", "datatype": "FP32", "shape": [1, 4]}]""", "input.inputs[0].data", "must be an array")]
    [InlineData("""[{"name": "input", "datatype": "FP32", "shape": [2000000000, 4], "data": [1]}]""", "input.inputs[0].data", "has 1 elements")]
    [InlineData("""[{"name": "input", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, "x"]}]""", "input.inputs[0].data", "element 3 is not a FP32")]
    [InlineData("""[{"name": "input", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3]}]""", "input.inputs[0].data", "has 3 elements, but the shape [1,4] needs 4")]
    public async Task Iris_WrongInput_NamesTheField(string inputs, string field, string message)
    {
        var error = await Should.ThrowAsync<InputException>(Run(inputs));

        error.Field.ShouldBe(field);
        error.Message.ShouldContain(message);
    }

    [Fact]
    public async Task Iris_NestedTenThousandDeep_IsTheCallersError()
    {
        var deep = new string('[', 10_000) + new string(']', 10_000);

        (await Should.ThrowAsync<InputException>(Run(deep))).Message.ShouldContain("is not JSON");
    }

    [Fact]
    public async Task Iris_SameInputTwice_IsRefused()
    {
        const string one = """{"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}""";

        (await Should.ThrowAsync<InputException>(Run($"[{one}, {one}]"))).Message.ShouldContain("given 2 times");
    }

    private static async Task<JsonElement> Run(string inputs)
    {
        using var folder = new TemporaryFolder();
        await using var task = await VisionModels.LoadAsync("iris", folder);
        var files = new Dictionary<string, TaskFile> { ["inputs"] = new("application/json", Encoding.UTF8.GetBytes(inputs)) };
        var result = await task.RunAsync(new TaskInput(files, default), new Progress<TaskProgress>(), CancellationToken.None);
        return JsonDocument.Parse(result.Json).RootElement;
    }
}
