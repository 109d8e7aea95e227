using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Tasks;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Models;

public class ModelFolderTests
{
    [Fact]
    public void Load_EverythingWrong_IsReportedAtOnceWithFileKeyAndCure()
    {
        using var folder = new TemporaryFolder();
        folder.Write("shop/model.yaml", """
            task: object-detection
            runtme: onnx
            input: {size: [416], layout: nhcw, std: [0, 1, 1]}
            output: {decoder: yolo, treshold: 0.3, iou: 2}
            labels: missing.txt
            batching: {maxDelay: 2 bananas}
            instances: {count: 0, device: tpu}
            placement: cloud
            """);
        Directory.CreateDirectory(Path.Combine(folder.Path, "shop", "1"));

        ModelFolder.TryLoad(Path.Combine(folder.Path, "shop"), out var definitions, out var errors).ShouldBeFalse();

        definitions.ShouldBeEmpty();
        errors.Select(error => $"{error.File}:{error.Key}").ShouldBe(
        [
            "model.yaml:runtme", "model.yaml:input.size", "model.yaml:input.layout", "model.yaml:input.std", "model.yaml:output.decoder",
            "model.yaml:output.treshold", "model.yaml:output.iou", "model.yaml:labels", "model.yaml:batching",
            "model.yaml:instances.count", "model.yaml:instances.device", "model.yaml:placement", "1/model.onnx:",
        ], ignoreOrder: true);
        Message("placement").ShouldBe("is not supported yet (a model stays where it is); remove it");
        Message("runtme").ShouldContain("did you mean 'runtime'?");
        Message("output.treshold").ShouldContain("did you mean 'threshold'?");
        Message("output.decoder").ShouldContain("one of: blazeface, fastestdet, ultraface, yolox, yunet (did you mean 'yolox'?)");
        Message("output.iou").ShouldBe("is 2, but must be a number from 0 to 1");
        Message("input.size").ShouldContain("list of 2 numbers");
        Message("labels").ShouldContain("no file 'missing.txt'");

        string Message(string key) => errors.Single(error => error.Key == key).Message;
    }

    [Theory]
    [InlineData("sidecar", "command: [python3, serve.py]", "uds")]
    [InlineData("uds", "command: [python3, serve.py]", "uds")]
    [InlineData("http", "command: [python3, serve.py]", "http")]
    [InlineData("sidecar", "{command: [python3, serve.py], transport: http}", "http")]
    public void Load_RuntimeOfASidecar_SaysHowItIsSpokenTo(string runtime, string sidecar, string transport)
    {
        using var folder = new TemporaryFolder();
        folder.Write("m/model.yaml", $"task: speech-to-text\nruntime: {runtime}\nsidecar: {(sidecar[0] == '{' ? sidecar : "{" + sidecar + "}")}\n");

        var definition = ModelFolder.Load(Path.Combine(folder.Path, "m")).Single();

        definition.Sidecar!.Transport.ShouldBe(transport);
    }

    [Theory]
    [InlineData("uds", "{command: [a], transport: http}", "sidecar.transport", "write it in one place")]
    [InlineData("uds", "{address: 'http://host:8000'}", "sidecar.addresses", "spoken to over http")]
    [InlineData("http", "{}", "sidecar.command", "is missing")]
    [InlineData("grpc", "{command: [a]}", "runtime", "onnx, sidecar, uds, http")]
    public void Load_RuntimeThatContradictsItsSidecar_TellsTheCure(string runtime, string sidecar, string key, string message)
    {
        using var folder = new TemporaryFolder();
        folder.Write("m/model.yaml", $"task: tensor\nruntime: {runtime}\nsidecar: {sidecar}\n");
        folder.Write("m/1/model.onnx", "");

        ModelFolder.TryLoad(Path.Combine(folder.Path, "m"), out _, out var errors).ShouldBeFalse();

        errors.ShouldContain(error => error.Key == key && error.Message.Contains(message), string.Join("; ", errors));
    }

    [Theory]
    [InlineData("", "is empty")]
    [InlineData("- a\n- b", "must be a mapping")]
    [InlineData("task: [unclosed", "line ")]
    [InlineData("a: &x 1\nb: *x", "aliases")]
    [InlineData("task: tensor\ntask: tensor", "twice")]
    [InlineData("task: dance", "one of: ")]
    [InlineData("description: no task", "is missing; one of: ")]
    public void Load_BrokenYaml_TellsTheCure(string yaml, string message)
    {
        using var folder = new TemporaryFolder();
        folder.Write("m/model.yaml", yaml);
        folder.Write("m/1/model.onnx", "");

        ModelFolder.TryLoad(Path.Combine(folder.Path, "m"), out _, out var errors).ShouldBeFalse();

        errors.Select(error => error.Message).ShouldContain(text => text.Contains(message), string.Join("\n", errors));
    }

    [Fact]
    public void Load_NestedTenThousandDeep_IsAnErrorNotAnOverflow()
    {
        using var folder = new TemporaryFolder();
        folder.Write("m/model.yaml", "task: tensor\nx: " + new string('[', 10_000) + new string(']', 10_000));

        ModelFolder.TryLoad(Path.Combine(folder.Path, "m"), out _, out var errors).ShouldBeFalse();

        errors.ShouldContain(error => error.Message.Contains("nested deeper than 16"));
    }

    [Fact]
    public void Load_FarTooLarge_IsRefusedUnread()
    {
        using var folder = new TemporaryFolder();
        folder.Write("m/model.yaml", "task: tensor\n# " + new string('x', 300_000));

        ModelFolder.TryLoad(Path.Combine(folder.Path, "m"), out _, out var errors).ShouldBeFalse();

        errors.Single().Message.ShouldContain("larger than");
    }

    [Theory]
    [InlineData("../../etc/passwd")]
    [InlineData("/etc/passwd")]
    [InlineData("..")]
    public void Load_LabelsOutsideTheFolder_AreRefused(string labels)
    {
        using var folder = new TemporaryFolder();
        folder.Write("m/model.yaml", $"task: image-classification\ninput: {{size: [32, 32]}}\nlabels: {labels}");
        folder.Write("m/1/model.onnx", "");

        ModelFolder.TryLoad(Path.Combine(folder.Path, "m"), out _, out var errors).ShouldBeFalse();

        errors.Single().Message.ShouldContain("leaves the model's folder");
    }

    [Fact]
    public void Load_WeightsOutsideTheRevision_AreRefused()
    {
        using var folder = new TemporaryFolder();
        folder.Write("m/model.yaml", "task: text-recognition\ndetection: {file: ../x.onnx}\n");
        folder.Write("m/1/recognition.onnx", "");
        folder.Write("m/1/keys.txt", "");

        ModelFolder.TryLoad(Path.Combine(folder.Path, "m"), out _, out var errors).ShouldBeFalse();

        errors.Single().ShouldSatisfyAllConditions(
            error => error.Key.ShouldBe("detection.file"),
            error => error.Message.ShouldContain("leaves the revision's folder"));
    }

    [Theory]
    [InlineData("sidecar: {command: [python3]}", "sidecar")]
    [InlineData("runtime: http\nsidecar: {address: 'http://gpu:8000', memory: 1GiB}", "sidecar.memory")]
    [InlineData("runtime: http\nsidecar: {address: 'http://gpu:8000'}\ninstances: {device: cuda}", "instances.device")]
    [InlineData("instances: {device: 'cpu:1'}", "instances.device")]
    [InlineData("batching: {maxSize: 8}", "batching")]
    [InlineData("placement: serverless", "placement")]
    public void Load_KeyThatNothingReads_IsRefusedWithTheCure(string yaml, string key)
    {
        using var folder = new TemporaryFolder();
        folder.Write("m/model.yaml", $"task: tensor\n{yaml}\n");
        folder.Write("m/1/model.onnx", "");

        ModelFolder.TryLoad(Path.Combine(folder.Path, "m"), out _, out var errors).ShouldBeFalse();

        errors.ShouldHaveSingleItem().Key.ShouldBe(key);
    }

    /// <summary>Here is no GPU and no library for one: the model says so instead of running on the processor without a word.</summary>
    [Theory]
    [InlineData("cuda")]
    [InlineData("cuda:1")]
    public async Task Create_CudaWithoutACudaLibrary_SaysTheCure(string device)
    {
        using var folder = new ModelFolders();
        var model = folder.AddIris();
        await File.AppendAllTextAsync(Path.Combine(model, "model.yaml"), $"\ninstances: {{device: '{device}'}}\n", TestContext.Current.CancellationToken);

        var fault = await Should.ThrowAsync<ModelException>(() => TaskLoader.CreateAsync(ModelFolder.Load(model).Single(), new OnnxOptions(), new ImagingLimits(), TestContext.Current.CancellationToken));

        fault.Errors.Single().Message.ShouldContain($"instances.device is {device}");
        fault.Errors.Single().Message.ShouldContain("device: cpu");
    }

    [Fact]
    public void Load_TwoRevisions_GivesBothOldestFirst()
    {
        using var folder = new TemporaryFolder();
        folder.Write("m/model.yaml", "task: tensor\ninstances: {count: 2}\n");
        folder.Write("m/2/model.onnx", "");
        folder.Write("m/10/model.onnx", "");
        folder.Write("m/drafts/model.onnx", "");

        var definitions = ModelFolder.Load(Path.Combine(folder.Path, "m"));

        definitions.Select(definition => definition.Revision).ShouldBe(["2", "10"]);
        definitions[0].ShouldSatisfyAllConditions(
            model => model.Name.ShouldBe("m"),
            model => model.Instances.Count.ShouldBe(2),
            model => model.Folder.ShouldBe(Path.Combine(folder.Path, "m", "2")));
    }

    [Fact]
    public void Load_NoRevision_SaysWhereTheWeightsGo()
    {
        using var folder = new TemporaryFolder();
        folder.Write("m/model.yaml", "task: tensor");

        ModelFolder.TryLoad(Path.Combine(folder.Path, "m"), out _, out var errors).ShouldBeFalse();

        errors.Single().Message.ShouldContain("a folder named 1");
    }

    [Fact]
    public void Load_BuiltInModels_AreValidAsTheBuildLaysThemOut()
    {
        using var folder = new TemporaryFolder();
        foreach (var name in new[] { "faces", "text-reader" })
        {
            ModelFolder.TryLoad(VisionModels.Folder(name, folder), out var definitions, out var errors).ShouldBeTrue(string.Join("\n", errors));
            definitions.Single().ShouldSatisfyAllConditions(
                model => model.Licence.ShouldBe("Apache-2.0"),
                model => model.Description.ShouldNotBeNullOrEmpty());
        }
    }

    [Fact]
    public void Load_EveryCatalogueModel_IsValid()
    {
        using var folder = new TemporaryFolder();
        Directory.GetDirectories(Path.Combine(Shared.Root, "models", "catalogue")).Select(Path.GetFileName)
            .ShouldBe(VisionModels.Catalogue, ignoreOrder: true);
        foreach (var name in VisionModels.Catalogue)
        {
            ModelFolder.TryLoad(VisionModels.Folder(name, folder), out _, out var errors).ShouldBeTrue($"{name}: {string.Join("\n", errors)}");
        }
    }
}
