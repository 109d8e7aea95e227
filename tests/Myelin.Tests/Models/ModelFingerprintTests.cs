using Myelin.Serving.Models;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Models;

public sealed class ModelFingerprintTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("myelin-print-").FullName;

    public ModelFingerprintTests() => Write("model.yaml", "task: tensor");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("model.yaml")]
    [InlineData("1/model.onnx")]
    [InlineData("lib/deep/serve.py")]
    public void Of_FileOfTheModelChanged_IsAnother(string file)
    {
        var before = ModelFingerprint.Of(_folder);

        Write(file, "something else");

        ModelFingerprint.Of(_folder).Value.ShouldNotBe(before.Value);
    }

    [Theory]
    [InlineData("node_modules/left-pad")]
    [InlineData("lib/node_modules")]
    [InlineData(".git/objects")]
    [InlineData("lib/__pycache__")]
    [InlineData("venv/lib")]
    [InlineData("whatever/lib")]
    public void Of_ByproductsOfPrograms_AreNotEvenWalked(string folder)
    {
        Write("venv/pyvenv.cfg", "home = /usr/bin");
        Write("whatever/pyvenv.cfg", "home = /usr/bin");
        Write("1/model.onnx", "weights");
        Directory.CreateDirectory(Path.Combine(_folder, folder));
        var before = ModelFingerprint.Of(_folder);

        for (var number = 0; number <= ModelFingerprint.MaxEntries; number++)
        {
            Write($"{folder}/{number}", "");
        }

        var after = ModelFingerprint.Of(_folder);
        after.ShouldBe(before);
        after.Whole.ShouldBeTrue("what is passed over does not count");
    }

    [Fact]
    public void Of_MoreThanTheMostFiles_WatchesTheYamlAlone()
    {
        for (var number = 0; number <= ModelFingerprint.MaxEntries; number++)
        {
            Write($"data/{number}", "");
        }

        var before = ModelFingerprint.Of(_folder);
        before.Whole.ShouldBeFalse();

        Write("data/more", "");
        ModelFingerprint.Of(_folder).Value.ShouldBe(before.Value);
        Write("model.yaml", "task: object-detection");
        ModelFingerprint.Of(_folder).Value.ShouldNotBe(before.Value);
    }

    private void Write(string file, string text)
    {
        var path = Path.Combine(_folder, file);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }
}
