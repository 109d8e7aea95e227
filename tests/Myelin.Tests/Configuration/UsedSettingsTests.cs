using System.Reflection;
using Myelin.Hosting.Configuration;
using Myelin.Hosting.Storage.Postgres;
using Myelin.Inference;
using Myelin.Inference.Imaging;
using Myelin.Inference.Models;
using Myelin.Inference.Runtimes.Http;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Inference.Runtimes.Sidecars;
using Myelin.Inference.Runtimes.Uds;
using Myelin.Inference.Tasks.Classification;
using Myelin.Inference.Tasks.Detection;
using Myelin.Inference.Tasks.Generation;
using Myelin.Inference.Tasks.Generation.Pipeline;
using Myelin.Inference.Tasks.Images;
using Myelin.Inference.Tasks.ImageToImage;
using Myelin.Inference.Tasks.Text;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Configuration;

/// <summary>What is accepted is used: every setting of the server and every key of model.yaml is read by something.</summary>
public sealed class UsedSettingsTests
{
    private static readonly Lazy<HashSet<MethodBase>> s_read = new(() => PropertyReads.In(
        typeof(MyelinOptions).Assembly, typeof(global::Myelin.Serving.Models.ModelRepository).Assembly, typeof(global::Myelin.Jobs.JobService).Assembly, typeof(global::Myelin.Server.MyelinServer).Assembly, typeof(ModelFolder).Assembly));

    /// <summary>Keys of model.yaml by task, with what becomes of each; a new key needs its line here, and its reader.</summary>
    private static readonly (string Tasks, string Key, Type Owner, string Property)[] s_keys =
    [
        ("*", "task", typeof(ModelDefinition), "Task"),
        ("*", "runtime", typeof(ModelDefinition), "Sidecar"),
        ("*", "description", typeof(ModelDefinition), "Description"),
        ("*", "licence", typeof(ModelDefinition), "Licence"),
        ("*", "source", typeof(ModelDefinition), "Source"),
        ("*", "labels", typeof(ModelDefinition), "Labels"),
        ("*", "instances.count", typeof(ModelInstances), "Count"),
        ("*", "instances.device", typeof(ModelInstances), "Device"),
        .. Sidecar("command", "Command"), .. Sidecar("transport", "Transport"), .. Sidecar("address", "Addresses"), .. Sidecar("addresses", "Addresses"),
        .. Sidecar("model", "Model"), .. Sidecar("sharedMemory", "SharedMemory"), .. Sidecar("startTimeout", "StartTimeout"), .. Sidecar("callTimeout", "CallTimeout"),
        .. Sidecar("stopTimeout", "StopTimeout"), .. Sidecar("environment", "Environment"), .. Sidecar("memory", "Memory"), .. Sidecar("cpus", "Cpus"), .. Sidecar("user", "User"),
        .. Of("object-detection image-classification", "input", typeof(ImageInput),
            "name=Name size=Width size=Height layout=ChannelsFirst color=Bgr scale=Scale mean=Mean std=Deviation fit=Fit align=Centred pad=Pad cropRatio=CropRatio"),
        .. Of("object-detection", "output", typeof(DetectionSettings), "decoder=Decoder threshold=Threshold iou=Iou maxDetections=MaxDetections"),
        .. Of("image-classification", "output", typeof(ClassificationSettings), "softmax=Softmax topK=TopK threshold=Threshold"),
        .. Of("text-recognition", "detection", typeof(TextDetectionSettings), "file=File minSide=MinSide maxMegapixels=MaxMegapixels threshold=Threshold boxThreshold=BoxThreshold unclip=Unclip"),
        .. Of("text-recognition", "recognition", typeof(TextReadingSettings), "file=File keys=Keys height=Height width=Width maxWidth=MaxWidth batch=Batch threshold=Threshold"),
        .. Of("image-to-image", "input", typeof(ImageToImageSettings), "size=Width size=Height color=Luma color=Bgr white=White"),
        .. Of("image-to-image", "output", typeof(ImageToImageSettings), "scale=Scale overlap=Overlap maxMegapixels=MaxMegapixels"),
        .. Of("text-to-image", "defaults", typeof(TextToImageSettings), "steps=Steps guidance=Guidance sampler=Sampler width=Width height=Height strength=Strength"),
        .. Of("text-to-image", "limits", typeof(TextToImageSettings), "minSize=MinSize maxSize=MaxSize maxSteps=MaxSteps maxCount=MaxCount maxPrompt=MaxPrompt"),
        .. Of("text-to-image", "components", typeof(ComponentOptions), "memoryMiB=MemoryBudget idle=IdleRelease"),
    ];

    public static TheoryData<string> Tasks => [.. "object-detection image-classification text-recognition image-to-image text-to-image tensor".Split(' ')];

    [Fact]
    public void Settings_OfTheServer_AreEachRead() =>
        Setting.Of(new MyelinOptions()).Where(s => !s_read.Value.Contains(s.Property.GetMethod!)).Select(s => s.Key).ShouldBeEmpty("nothing reads them: delete them, or use them");

    /// <summary>What settings are handed on to.</summary>
    [Theory]
    [InlineData(typeof(SidecarOptions))]
    [InlineData(typeof(OnnxOptions))]
    [InlineData(typeof(UdsOptions))]
    [InlineData(typeof(HttpOptions))]
    [InlineData(typeof(ImagingLimits))]
    [InlineData(typeof(PostgresSettings))]
    [InlineData(typeof(ModelDefinition))]
    [InlineData(typeof(ModelSidecar))]
    [InlineData(typeof(ModelInstances))]
    public void Options_OfTheRuntimes_AreEachRead(Type options) =>
        options.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => !s_read.Value.Contains(p.GetMethod!)).Select(p => p.Name).ShouldBeEmpty();

    [Theory]
    [MemberData(nameof(Tasks))]
    public void ModelYaml_EveryKeyThatATaskAccepts_IsRead(string task)
    {
        using var folder = new TemporaryFolder();
        var table = s_keys.Where(k => k.Tasks == "*" || k.Tasks.Split(' ').Contains(task)).ToList();

        Accepted(folder, task).Order().ShouldBe(table.Select(k => k.Key).Distinct().Order());

        table.Where(k => !s_read.Value.Contains(k.Owner.GetProperty(k.Property)!.GetMethod!)).Select(k => $"{k.Key}: {k.Owner.Name}.{k.Property}").ShouldBeEmpty();
    }

    [Fact]
    public void In_ARecordThatNobodyReads_FindsNoReader()
    {
        var read = PropertyReads.In(typeof(UsedSettingsTests).Assembly);

        read.ShouldContain(typeof(Sample).GetProperty("Used")!.GetMethod!);
        read.ShouldNotContain(typeof(Sample).GetProperty("Unused")!.GetMethod!);
        new Sample(1, 2).Used.ShouldBe(1);
    }

    /// <summary>Asks the reader itself: beside a key that it does not know it names those that it knows.</summary>
    private static List<string> Accepted(TemporaryFolder folder, string task)
    {
        var keys = new List<string>();
        foreach (var top in Known(folder, $"task: {task}\nzzz: 0\n", "zzz"))
        {
            var below = top == "task" ? [] : Known(folder, $"task: {task}\n{(top == "sidecar" ? "runtime: uds\n" : "")}{top}: {{zzz: 0}}\n", $"{top}.zzz");
            keys.AddRange(below.Length == 0 ? [top] : below.Select(key => $"{top}.{key}"));
        }

        return keys;
    }

    private static string[] Known(TemporaryFolder folder, string yaml, string key)
    {
        Directory.CreateDirectory(folder.Combine("m"));
        File.WriteAllText(folder.Combine("m", "model.yaml"), yaml);
        ModelFolder.TryLoad(folder.Combine("m"), out _, out var errors);
        const string Here = "known here: ";
        var message = errors.SingleOrDefault(e => e.Key == key)?.Message ?? "";
        return message.Contains(Here, StringComparison.Ordinal) ? message[(message.IndexOf(Here, StringComparison.Ordinal) + Here.Length)..].Split(", ") : [];
    }

    private static IEnumerable<(string, string, Type, string)> Sidecar(string key, string property) => [("*", $"sidecar.{key}", typeof(ModelSidecar), property)];

    private static IEnumerable<(string, string, Type, string)> Of(string tasks, string section, Type owner, string pairs) =>
        pairs.Split(' ').Select(pair => pair.Split('=')).Select(pair => (tasks, $"{section}.{pair[0]}", owner, pair[1]));

    private sealed record Sample(int Used, int Unused);
}
