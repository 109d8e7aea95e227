using System.Diagnostics;
using Myelin.Inference.Runtimes;
using Myelin.Protocol;
using Myelin.Testing;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Sidecars.Http;

/// <summary>The official client drives our hosts: metadata, all types in JSON and bytes, selection, errors, statistics, concurrency.</summary>
public class TritonClientTests
{
    [Fact]
    public async Task OfficialClient_AgainstTheDotnetHost_FindsWhatItExpects()
    {
        await using var sidecar = ServedModels.OverTcp(
            FunctionModel.Identity(),
            new FunctionModel("double", (call, _) =>
            {
                var output = call.Rent("y", ElementType.Float32, call.Inputs["x"].Shape);
                System.Numerics.Tensors.TensorPrimitives.Multiply(call.Inputs["x"].As<float>(), 2, output.As<float>());
                return ValueTask.FromResult(new TensorSet([output]));
            })
            {
                Takes = [new TensorSpec("x", ElementType.Float32, [-1])],
                Gives = [new TensorSpec("y", ElementType.Float32, [-1])],
            },
            new FunctionModel("sleep", async (call, cancellationToken) =>
            {
                await Task.Delay((int)call.Inputs["ms"].As<long>()[0], cancellationToken);
                return FunctionModel.Copy(call.Inputs);
            }),
            new FunctionModel("fail", (call, _) =>
                throw new RuntimeException(System.Text.Encoding.UTF8.GetString(call.Inputs["message"].Bytes.Span[4..]), retryable: false)));

        (await PythonClients.RunAsync("triton_http.py", sidecar.Address.Endpoint!.Authority)).ShouldContain("checks held");
    }

    [Fact]
    public async Task OfficialClient_AgainstThePythonHost_FindsWhatItExpects()
    {
        var folder = Path.Combine(Shared.Root, "sidecars", "python");
        Assert.SkipUnless(File.Exists(Path.Combine(folder, "myelin_sidecar", "http.py")), "the Python host does not speak HTTP yet");
        var port = ServerProcess.FreePort();
        var start = new ProcessStartInfo("python3", [Path.Combine(folder, "tests", "conformance_sidecar.py"), "--listen", $"http://127.0.0.1:{port}"]);
        using var sidecar = Process.Start(start)!;
        try
        {
            (await PythonClients.RunAsync("triton_http.py", $"127.0.0.1:{port}")).ShouldContain("checks held");
        }
        finally
        {
            sidecar.Kill(entireProcessTree: true);
            await sidecar.WaitForExitAsync();
        }
    }
}
