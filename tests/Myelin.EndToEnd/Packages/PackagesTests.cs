using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.RegularExpressions;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.EndToEnd.Packages;

/// <summary>Everything that people install is installed from its file and does its first job. The programs of the NuGet packages are those of their readmes.</summary>
public sealed partial class PackagesTests(PackedFixture packed) : IClassFixture<PackedFixture>
{
    private static readonly string s_sign = Path.Combine(Shared.Root, "samples", "sign.jpg");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Client_ProgramOfItsReadme_ReadsASign()
    {
        var program = await BuildAsync("Myelin.Client");

        (await packed.RunAsync(program, [packed.Server.Address.ToString(), s_sign], packed.Folder("client-run"))).ShouldContain("HERON LAKE");
    }

    [Fact]
    public async Task Sidecar_ProgramOfItsReadme_Answers()
    {
        await AnswersAsync(await BuildAsync("Myelin.Sidecar"), [], "doubler");
    }

    [Fact]
    public async Task Tool_Installed_DrawsWhatItFinds()
    {
        var folder = packed.Folder("tool");
        await packed.RunAsync("dotnet", ["tool", "install", "Myelin.Cli", "--version", packed.Version, "--tool-path", folder, "--add-source", packed.Artifacts], folder);

        await packed.RunAsync(Path.Combine(folder, "myelin"), ["detect", Path.Combine(Shared.Root, "samples", "portrait.jpg"), "-m", "faces", "-o", "out.jpg", "--server", packed.Server.Address.ToString()], folder);

        (await File.ReadAllBytesAsync(Path.Combine(folder, "out.jpg"), Token)).AsSpan(0, 2).ToArray().ShouldBe([0xFF, 0xD8]);
    }

    [Fact]
    public async Task ServerFolder_Unpacked_ReadsASignWithoutAnInstalledRuntime()
    {
        var folder = packed.Folder("server");
        await packed.RunAsync("tar", ["-xzf", Path.Combine(packed.Artifacts, $"myelin-server-{packed.Version}-linux-x64.tar.gz"), "-C", folder], folder);

        Directory.EnumerateFiles(Path.Combine(folder, "myelin")).Select(f => Path.GetFileName(f)!).ShouldNotContain(name => name.StartsWith("onnxruntime", StringComparison.Ordinal) || name.StartsWith("alpine-", StringComparison.Ordinal));
        await ReadsASignAsync(Path.Combine(folder, "myelin", "myelin-server"));
    }

    [Fact]
    public async Task DebianPackage_InstalledAndRemoved_ReadsASignAndLeavesNothing()
    {
        Assert.SkipUnless(Environment.UserName == "root" && File.Exists("/usr/bin/dpkg"), "needs dpkg and root");
        var root = packed.Folder("root");
        Directory.CreateDirectory(Path.Combine(root, "var/lib/dpkg/info"));
        Directory.CreateDirectory(Path.Combine(root, "var/lib/dpkg/updates"));
        await File.WriteAllTextAsync(Path.Combine(root, "var/lib/dpkg/status"), "", Token);
        string[] dpkg = [$"--root={root}", "--force-script-chrootless", "--force-depends", "--log=/dev/null"];
        await packed.RunAsync("dpkg", [.. dpkg, "--install", Path.Combine(packed.Artifacts, $"myelin_{packed.Version}_amd64.deb")], root);

        await ReadsASignAsync(Path.Combine(root, "usr", "bin", "myelin-server"));
        (await packed.RunAsync(Path.Combine(root, "usr", "bin", "myelin"), ["--version"], root)).ShouldStartWith(packed.Version);
        var unit = Path.Combine(root, "lib", "systemd", "system", "myelin.service");
        File.ReadAllText(unit).ShouldContain("ExecStart=/usr/lib/myelin/myelin-server ");

        await packed.RunAsync("dpkg", [.. dpkg, "--purge", "myelin"], root);
        Directory.EnumerateFiles(root, "*", SearchOption.AllDirectories).Where(file => !file.Contains("/var/lib/dpkg/", StringComparison.Ordinal)).ShouldBeEmpty();
    }

    [Fact]
    public async Task PythonSdk_WheelInstalled_Answers()
    {
        var folder = packed.Folder("python");
        await packed.RunAsync("python3", ["-m", "venv", folder], folder);
        await packed.RunAsync(Path.Combine(folder, "bin", "pip"), ["install", "--no-index", "--quiet", .. Directory.GetFiles(packed.Artifacts, "*.whl")], folder);
        var program = Path.Combine(folder, "serve.py");
        await File.WriteAllTextAsync(
            program,
            """
            from myelin_sidecar import Tensor, model, serve
            serve(model(name="doubler")(lambda call: {"y": Tensor.of("FP32", call["x"].shape, [2 * x for x in call["x"].tolist()])}))
            """,
            Token);

        await AnswersAsync(Path.Combine(folder, "bin", "python"), [program], "doubler");
    }

    /// <summary>The C# of the package's readme as a program of its own, outside this tree, with the package from its file.</summary>
    private async Task<string> BuildAsync(string package)
    {
        var folder = packed.Folder(package);
        var code = Program().Match(await File.ReadAllTextAsync(Path.Combine(Shared.Root, "src", package, "README.md"), Token)).Groups[1].Value;
        await File.WriteAllTextAsync(Path.Combine(folder, "Program.cs"), code, Token);
        var machine = Environment.GetEnvironmentVariable("NUGET_PACKAGES") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
        await File.WriteAllTextAsync(
            Path.Combine(folder, "program.csproj"),
            $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <ImplicitUsings>enable</ImplicitUsings>
                <Nullable>enable</Nullable>
                <RestoreAdditionalProjectSources>{packed.Artifacts}</RestoreAdditionalProjectSources>
                <RestoreFallbackFolders>{machine}</RestoreFallbackFolders>
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="{package}" Version="{packed.Version}" />
              </ItemGroup>
            </Project>
            """,
            Token);
        await packed.RunAsync("dotnet", ["build", "-c", "Release", "-v", "q", "-o", "out"], folder);
        return Path.Combine(folder, "out", "program");
    }

    private static async Task AnswersAsync(string program, string[] arguments, string model)
    {
        var address = new Uri($"http://127.0.0.1:{ServerProcess.FreePort()}");
        using var sidecar = Process.Start(program, [.. arguments, "--listen", address.ToString().TrimEnd('/')]);
        try
        {
            using var http = new HttpClient { BaseAddress = address };
            await Wait.UntilAsync(async () => !sidecar.HasExited && await IsReadyAsync(http), state: () => sidecar.HasExited ? $"ended with {sidecar.ExitCode}" : "not ready");
            using var answer = await http.PostAsJsonAsync($"/v2/models/{model}/infer", new { inputs = new[] { new { name = "x", datatype = "FP32", shape = new[] { 2 }, data = new[] { 1f, 2f } } } }, Token);
            (await answer.Content.ReadAsStringAsync(Token)).ShouldMatch(@"""data"":\[2(\.0)?,4(\.0)?\]");
        }
        finally
        {
            sidecar.Kill(entireProcessTree: true);
            await sidecar.WaitForExitAsync(CancellationToken.None);
        }
    }

    private static async Task<bool> IsReadyAsync(HttpClient http)
    {
        try
        {
            using var response = await http.GetAsync(new Uri("/v2/health/ready", UriKind.Relative), Token);
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private static async Task ReadsASignAsync(string program)
    {
        await using var server = new ServerProcess(environment: new Dictionary<string, string> { ["DOTNET_ROOT"] = "/nonexistent", ["PATH"] = "/usr/bin:/bin" }) { Program = program };
        await server.StartAsync(Token);
        using var form = new MultipartFormDataContent { { new StringContent("text-reader"), "model" }, { new ByteArrayContent(await File.ReadAllBytesAsync(s_sign, Token)), "image", "sign.jpg" } };
        using var answer = await server.Http.PostAsync(new Uri("/v1/jobs?wait=60s", UriKind.Relative), form, Token);
        (await answer.Content.ReadAsStringAsync(Token)).ShouldContain("HERON LAKE", customMessage: server.Log);
        (await server.TerminateAsync(TimeSpan.FromMinutes(1))).ShouldBe(0);
    }

    [GeneratedRegex("```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Program();
}
