using System.Text;
using Myelin.Inference.Runtimes.Oip;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Runtimes.Oip;

public class OipReaderTests
{
    private const string TwoFloats = """{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}""";

    [Fact]
    public async Task Read_JsonAndBinaryMixed_GivesBothInOrder()
    {
        const string head = """
            {"id":"a","parameters":{"binary_data_output":true,"seed":7},"inputs":[
              {"name":"b","shape":[2,1],"datatype":"INT16","parameters":{"binary_data_size":4}},
              {"name":"j","shape":[1,2],"datatype":"INT8","data":[[-1,2]]},
              {"name":"s","shape":[],"datatype":"UINT8","parameters":{"binary_data_size":1}}],
             "outputs":[{"name":"y","parameters":{"binary_data":false}},{"name":"z"}]}
            """;

        using var message = await Read(head, [1, 0, 2, 0, 9]);

        message.Id.ShouldBe("a");
        message.BinaryOutput.ShouldBeTrue();
        message.Parameters.GetProperty("seed").GetInt32().ShouldBe(7);
        message.Requested.ShouldBe([new OipRequestedOutput("y", false), new OipRequestedOutput("z", null)]);
        message.Tensors["b"].As<short>().ToArray().ShouldBe([1, 2]);
        message.Tensors["j"].As<sbyte>().ToArray().ShouldBe([-1, 2]);
        message.Tensors["s"].Shape.ShouldBeEmpty();
        message.Tensors["s"].Bytes.ToArray().ShouldBe([9]);
    }

    [Fact]
    public async Task Read_LengthNotSaid_GivesTheSame()
    {
        using var message = await Read(TwoFloats, new byte[8], sayLength: false);

        message.Tensors.Single().As<float>().ToArray().ShouldBe([0, 0]);
    }

    [Fact]
    public async Task Read_JsonOfUnknownLengthAboveTheBuffer_IsReadWhole()
    {
        var numbers = string.Join(',', Enumerable.Range(0, 50_000));
        var json = Encoding.UTF8.GetBytes($$"""{"inputs":[{"name":"x","shape":[50000],"datatype":"INT32","data":[{{numbers}}]}]}""");

        using var message = await OipReader.ReadAsync(new MemoryStream(json), null, null, "inputs", new OipLimits(), CancellationToken.None);

        message.Tensors.Single().As<int>()[49_999].ShouldBe(49_999);
    }

    [Theory]
    [InlineData("""{"inputs":[{"name":"x","shape":[3],"datatype":"FP32","parameters":{"binary_data_size":8}}]}""", "inputs[0].parameters.binary_data_size is 8, which is not what FP32 of shape [3] takes")]
    [InlineData("""{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":-8}}]}""", "must be a whole number of bytes")]
    [InlineData("""{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8.5}}]}""", "must be a whole number of bytes")]
    [InlineData("""{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":"8"}}]}""", "must be a whole number of bytes")]
    [InlineData("""{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":99999999999999999999}}]}""", "must be a whole number of bytes")]
    [InlineData("""{"inputs":[{"name":"x","shape":[4611686018427387904,4],"datatype":"UINT8","parameters":{"binary_data_size":0}}]}""", "is not what UINT8")]
    [InlineData("""{"inputs":[{"name":"x","shape":[4294967296,4294967296],"datatype":"UINT8","parameters":{"binary_data_size":0}}]}""", "is not what UINT8")]
    [InlineData("""{"inputs":[{"name":"x","shape":[2147483647,2],"datatype":"FP64","parameters":{"binary_data_size":8}}]}""", "is not what FP64")]
    [InlineData("""{"inputs":[{"name":"x","shape":[-1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}""", "inputs[0].shape must be an array of at most 8 lengths")]
    [InlineData("""{"inputs":[{"name":"x","shape":[1.5],"datatype":"FP32","parameters":{"binary_data_size":8}}]}""", "inputs[0].shape must be")]
    [InlineData("""{"inputs":[{"name":"x","shape":["2"],"datatype":"FP32","parameters":{"binary_data_size":8}}]}""", "inputs[0].shape must be")]
    [InlineData("""{"inputs":[{"name":"x","shape":[1,1,1,1,1,1,1,1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}""", "inputs[0].shape must be")]
    [InlineData("""{"inputs":[{"name":"x","datatype":"FP32","parameters":{"binary_data_size":8}}]}""", "inputs[0].shape must be")]
    [InlineData("""{"inputs":[{"name":"x","shape":[2],"datatype":"FP33","parameters":{"binary_data_size":8}}]}""", "inputs[0].datatype must be one of")]
    [InlineData("""{"inputs":[{"name":"x","shape":[2],"datatype":7,"parameters":{"binary_data_size":8}}]}""", "inputs[0].datatype must be one of")]
    [InlineData("""{"inputs":[{"shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}""", "inputs[0].name must be")]
    [InlineData("""{"inputs":[{"name":"\ud800","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}""", "inputs[0].name must be")]
    [InlineData("""{"inputs":[7]}""", "inputs[0] must be an object")]
    [InlineData("""{"inputs":{}}""", "inputs must be an array")]
    [InlineData("""{}""", "inputs must be an array")]
    [InlineData("""[]""", "body must be a JSON object")]
    [InlineData("""{"inputs":[""", "body is not JSON")]
    [InlineData("""{"parameters":3,"inputs":[]}""", "parameters must be an object")]
    [InlineData("""{"outputs":3,"inputs":[]}""", "outputs must be an array")]
    [InlineData("""{"outputs":[3],"inputs":[]}""", "outputs[0].name must be")]
    [InlineData("""{"outputs":[{"name":"y"},{"name":"y"}],"inputs":[]}""", "'y' is asked for twice")]
    [InlineData("""{"inputs":[{"name":"x","shape":[1],"datatype":"INT32","parameters":{"binary_data_size":4}},{"name":"x","shape":[1],"datatype":"INT32","parameters":{"binary_data_size":4}}]}""", "'x' is given twice")]
    [InlineData("""{"inputs":[{"name":"x","shape":[100],"datatype":"UINT8","parameters":{"binary_data_size":100}}]}""", "asks for more bytes than the body has left")]
    [InlineData("""{"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}""", "has 8 bytes after the JSON, and its tensors take 1")]
    [InlineData("""{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":8}}]}""", "elements that do not fill its 8 bytes")]
    [InlineData("""{"inputs":[{"name":"x","shape":[3],"datatype":"BYTES","parameters":{"binary_data_size":8}}]}""", "is not what BYTES of shape [3] takes")]
    public async Task Read_WrongMessage_NamesTheField(string head, string message)
    {
        // Eight bytes 255 follow each: what a head may ask for, and no valid length of an element.
        (await Should.ThrowAsync<OipException>(Read(head, Enumerable.Repeat((byte)255, 8).ToArray()))).Message.ShouldContain(message);
    }

    [Theory]
    [InlineData("""{"\ud800":1,"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":["\ud800",1]}]}""", "FP32")]
    [InlineData("""{"inputs":[{"name":"x","shape":[2],"datatype":"FP32"}]}""", "inputs[0].data must be an array")]
    [InlineData("""{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,[2,3]]}]}""", "has 3 elements, but the shape [2] needs 2")]
    [InlineData("""{"inputs":[{"name":"x","shape":[9223372036854775807,2],"datatype":"FP32","data":[1]}]}""", "has 1 elements")]
    [InlineData("""{"inputs":[{"name":"x","shape":[2],"datatype":"UINT8","data":[1,256]}]}""", "element 1 is not a UINT8")]
    [InlineData("""{"inputs":[{"name":"x","shape":[2],"datatype":"INT32","data":[1,1.5]}]}""", "element 1 is not a INT32")]
    [InlineData("""{"inputs":[{"name":"x","shape":[2],"datatype":"BYTES","data":["a",null]}]}""", "element 1 is not a text")]
    [InlineData("""{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["\ud800"]}]}""", "element 0 is not a text")]
    [InlineData("""{"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","data":[1]}]}""", "element 0 is not a BOOL")]
    public async Task Read_WrongData_NamesTheElement(string json, string message) =>
        (await Should.ThrowAsync<OipException>(Read(json, []))).Message.ShouldContain(message);

    [Theory]
    [InlineData("""{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"shared_memory_region":"r"}}]}""")]
    [InlineData("""{"inputs":[],"outputs":[{"name":"y","parameters":{"classification":3}}]}""")]
    public async Task Read_ExtensionWeLack_IsUnsupported(string head) =>
        (await Should.ThrowAsync<OipException>(Read(head, []))).Unsupported.ShouldBeTrue();

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(1_000)]
    [InlineData(long.MaxValue)]
    public async Task Read_HeadLengthOutsideTheBody_IsRefused(long headLength)
    {
        var bytes = Encoding.UTF8.GetBytes(TwoFloats);

        (await Should.ThrowAsync<OipException>(OipReader.ReadAsync(new MemoryStream(bytes), headLength, bytes.Length, "inputs", new OipLimits(), CancellationToken.None).AsTask()))
            .Field.ShouldBe(OipReader.HeadLengthHeader);
    }

    [Fact]
    public async Task Read_BodyCutShort_SaysWhere()
    {
        var bytes = Encoding.UTF8.GetBytes(TwoFloats);

        var fault = await Should.ThrowAsync<OipException>(
            OipReader.ReadAsync(new MemoryStream([.. bytes, 1, 2, 3]), bytes.Length, bytes.Length + 8, "inputs", new OipLimits(), CancellationToken.None).AsTask());

        fault.Message.ShouldBe("body ends after 3 of the 8 bytes of tensor 'x'");
    }

    [Fact]
    public async Task Read_BodyGoesOn_IsRefused()
    {
        var bytes = Encoding.UTF8.GetBytes(TwoFloats);

        (await Should.ThrowAsync<OipException>(
            OipReader.ReadAsync(new MemoryStream([.. bytes, .. new byte[9]]), bytes.Length, null, "inputs", new OipLimits(), CancellationToken.None).AsTask()))
            .Message.ShouldContain("goes on after its last tensor");
    }

    [Fact]
    public async Task Read_NestedTenThousandDeep_IsRefused()
    {
        var head = """{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":""" + new string('[', 10_000) + new string(']', 10_000) + "}]}";

        (await Should.ThrowAsync<OipException>(Read(head, []))).Message.ShouldContain("is not JSON");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Read_AboveTheLimits_IsRefusedBeforeItIsRead(bool sayLength)
    {
        var limits = new OipLimits { MaxJsonBytes = 64, MaxBytes = 100 };
        var bytes = new byte[90];
        var body = new MemoryStream(bytes);

        (await Should.ThrowAsync<OipException>(OipReader.ReadAsync(body, null, sayLength ? bytes.Length : null, "inputs", limits, CancellationToken.None).AsTask()))
            .Message.ShouldContain("64");
        if (sayLength)
        {
            body.Position.ShouldBe(0);
        }

        (await Should.ThrowAsync<OipException>(OipReader.ReadAsync(body, 10, 101, "inputs", limits, CancellationToken.None).AsTask())).Message.ShouldContain("the limit is 100");
    }

    [Fact]
    public async Task Read_ManyTensors_IsRefused()
    {
        var tensors = string.Join(',', Enumerable.Range(0, 65).Select(index => $$"""{"name":"{{index}}","shape":[0],"datatype":"FP32","data":[]}"""));

        (await Should.ThrowAsync<OipException>(Read($$"""{"inputs":[{{tensors}}]}""", []))).Message.ShouldContain("at most 64 tensors");
    }

    private static Task<OipMessage> Read(string head, byte[] binary, bool sayLength = true)
    {
        var json = Encoding.UTF8.GetBytes(head);
        byte[] body = [.. json, .. binary];
        return OipReader.ReadAsync(new MemoryStream(body), json.Length, sayLength ? body.Length : null, "inputs", new OipLimits(), CancellationToken.None).AsTask();
    }
}
