using System.Diagnostics;
using System.Text;
using Myelin.Inference.Models;
using Myelin.Inference.Tasks.Generation;
using Myelin.Inference.Tasks.Generation.Tokens;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Generation;

public sealed class ClipTokenizerTests
{
    [Fact]
    public void Encode_EveryRecordedText_EqualsTheReference()
    {
        var tokenizer = Load("tiny-sd", "tokenizer");
        var texts = Golden.Json("tokens.json").EnumerateArray().ToList();
        texts.Count.ShouldBeGreaterThan(30);
        foreach (var text in texts)
        {
            var expected = text.GetProperty("ids").EnumerateArray().Select(i => i.GetInt32()).ToArray();
            tokenizer.Encode(text.GetProperty("text").GetString()!).ShouldBe(expected, text.GetProperty("text").GetString());
        }
    }

    [Fact]
    public void Encode_PadTokenOfTheFolder_FillsUpWithIt()
    {
        var ids = Load("tiny-sdxl", "tokenizer_2").Encode("hi!");

        ids[..4].ShouldBe([49406, 1883, 0, 49407]);
        ids[4..].ShouldAllBe(id => id == 0);
    }

    [Theory]
    [InlineData("a")]
    [InlineData("😀")]
    [InlineData("!'s ")]
    [InlineData("e\u0301\u0327")]
    public void Encode_HundredKilobytes_EndsSoonAndCutsBeforeTheEnd(string part)
    {
        var tokenizer = Load("tiny-sd", "tokenizer");
        var text = new StringBuilder().Insert(0, part, 100_000 / part.Length).ToString();
        var watch = Stopwatch.StartNew();

        var ids = tokenizer.Encode(text);

        watch.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(5));
        ids.Length.ShouldBe(77);
        (ids[0], ids[^1]).ShouldBe((49406, 49407));
        ids[^2].ShouldNotBe(49407);
        ids.ShouldBe(tokenizer.Encode(text[..8_000]), "what is beyond the last token matters");
    }

    [Theory]
    [InlineData("e\u0301", "é")]
    [InlineData("A\u030A", "Å")]
    [InlineData("\u212B", "Å")]
    [InlineData("\u1100\u1161\u11A8", "각")]
    [InlineData("a\u0315\u0300", "à\u0315")]
    [InlineData("\u0958", "\u0915\u093C")]
    [InlineData("plain", "plain")]
    public void Nfc_Text_IsComposed(string text, string expected) => Nfc.Compose(text).ShouldBe(expected);

    [Fact]
    public void Normalize_OfThePlatform_LeavesTheTextAsItIs() =>
        "e\u0301".Normalize(NormalizationForm.FormC).ShouldBe("e\u0301", "the platform composes without ICU now: Nfc may go");

    [Fact]
    public void Load_MergeWithoutItsTokens_NamesTheFile()
    {
        using var folder = Golden.Copy("tiny-sd");
        File.WriteAllText(folder.File("tokenizer/merges.txt"), "#version: 0.2\nnosuch tokenpair\n");

        Should.Throw<ModelException>(() => ClipTokenizer.Load(new ModelFiles(folder.Path), "tokenizer")).Errors.Single().File.ShouldBe("tokenizer/merges.txt");
    }

    [Fact]
    public void Load_BrokenVocabulary_NamesTheFile()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("tokenizer/vocab.json"), "{\"a\": 1,");
        Should.Throw<ModelException>(() => ClipTokenizer.Load(new ModelFiles(folder.Path), "tokenizer")).Errors.Single().File.ShouldBe("tokenizer/vocab.json");

        File.WriteAllText(folder.File("tokenizer/vocab.json"), "{\"a\": 1}");
        Should.Throw<ModelException>(() => ClipTokenizer.Load(new ModelFiles(folder.Path), "tokenizer")).Errors.Single().File.ShouldBe("tokenizer/merges.txt");
    }

    private static ClipTokenizer Load(string model, string folder) => ClipTokenizer.Load(new ModelFiles(Golden.Folder(model)), folder);
}
