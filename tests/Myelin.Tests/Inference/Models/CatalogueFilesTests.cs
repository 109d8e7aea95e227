using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Myelin.Inference.Models;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Models;

/// <summary>What the catalogue promises of sizes and hashes holds for the bytes at hand.</summary>
public class CatalogueFilesTests
{
    [Fact]
    public void Catalogue_PublicModels_HaveTheSizeAndHashThatTheirEntriesSay()
    {
        foreach (var name in VisionModels.Catalogue)
        {
            var file = Entry(Path.Combine("catalogue", name))["files"]!.AsArray().Single()!;
            var bytes = File.ReadAllBytes(VisionModels.WeightsOf(name));

            file["path"]!.GetValue<string>().ShouldBe("1/model.onnx");
            file["url"]!.GetValue<string>().ShouldMatch("^https://raw\\.githubusercontent\\.com/[^/]+/[^/]+/[0-9a-f]{40}/.+\\.onnx$");
            file["size"]!.GetValue<long>().ShouldBe(bytes.Length);
            file["sha256"]!.GetValue<string>().ShouldBe(Convert.ToHexStringLower(SHA256.HashData(bytes)));
        }
    }

    [Theory]
    [InlineData("faces")]
    [InlineData("text-reader")]
    public void Catalogue_BuiltInModels_HaveTheSizeAndHashThatTheirEntriesSay(string name)
    {
        foreach (var file in Entry(name)["files"]!.AsArray())
        {
            var package = file!["package"]!.GetValue<string>();
            var path = Shared.NodeModule(Path.Combine(package[..package.LastIndexOf('@')], file["member"]!.GetValue<string>()));
            var bytes = File.ReadAllBytes(path);

            file["size"]!.GetValue<long>().ShouldBe(bytes.Length);
            file["sha256"]!.GetValue<string>().ShouldBe(Convert.ToHexStringLower(SHA256.HashData(bytes)));
            File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "models", name, file["path"]!.GetValue<string>())).ShouldBe(bytes);
        }
    }

    private static JsonObject Entry(string folder)
    {
        var errors = new List<ModelError>();
        var text = File.ReadAllText(Path.Combine(Shared.Root, "models", folder, "catalogue.yaml"));
        return ModelYaml.Parse("catalogue.yaml", text, errors).ShouldNotBeNull(string.Join("\n", errors));
    }
}
