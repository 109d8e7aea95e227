using Myelin.Inference.Runtimes;
using Myelin.Inference.Runtimes.Http;
using Myelin.Inference.Runtimes.Onnx;
using Myelin.Testing;

namespace Myelin.Tests.Inference.Runtimes.Conformance;

// A transport joins the suite with a few lines: how its sidecar is started, where it listens, how it is reached.

public sealed class UdsRingConformanceTests(UdsRingConformanceTests.Ring transport) : LineConformance<UdsRingConformanceTests.Ring>(transport)
{
    public sealed class Ring : UdsTransport
    {
        protected override bool SharesMemory => true;

        protected override SidecarProcess Start(string address) => SidecarProcess.DotNet(address);
    }
}

public sealed class UdsInlineConformanceTests(UdsInlineConformanceTests.Inline transport) : LineConformance<UdsInlineConformanceTests.Inline>(transport)
{
    public sealed class Inline : UdsTransport
    {
        protected override bool SharesMemory => false;

        protected override SidecarProcess Start(string address) => SidecarProcess.DotNet(address);
    }
}

public sealed class UdsPythonConformanceTests(UdsPythonConformanceTests.Ring transport) : LineConformance<UdsPythonConformanceTests.Ring>(transport)
{
    public sealed class Ring : UdsTransport
    {
        protected override bool SharesMemory => true;

        protected override SidecarProcess Start(string address) => SidecarProcess.Python(address);
    }
}

public sealed class UdsPythonInlineConformanceTests(UdsPythonInlineConformanceTests.Inline transport) : LineConformance<UdsPythonInlineConformanceTests.Inline>(transport)
{
    public sealed class Inline : UdsTransport
    {
        protected override bool SharesMemory => false;

        protected override SidecarProcess Start(string address) => SidecarProcess.Python(address);
    }
}

public sealed class HttpConformanceTests(HttpConformanceTests.Tcp transport) : LineConformance<HttpConformanceTests.Tcp>(transport)
{
    public sealed class Tcp : HttpTransport
    {
        protected override string MakeAddress(string socket) => $"http://127.0.0.1:{ServerProcess.FreePort()}";

        protected override SidecarProcess Start(string address) => SidecarProcess.DotNet(address);
    }
}

public sealed class HttpUnixConformanceTests(HttpUnixConformanceTests.Unix transport) : LineConformance<HttpUnixConformanceTests.Unix>(transport)
{
    public sealed class Unix : HttpTransport
    {
        protected override string MakeAddress(string socket) => "http+unix:" + socket;

        protected override SidecarProcess Start(string address) => SidecarProcess.DotNet(address);
    }
}

public sealed class Http2ConformanceTests(Http2ConformanceTests.Cleartext transport) : LineConformance<Http2ConformanceTests.Cleartext>(transport)
{
    public sealed class Cleartext : HttpTransport
    {
        protected override bool Http2 => true;

        protected override string MakeAddress(string socket) => $"http://127.0.0.1:{ServerProcess.FreePort()}";

        protected override SidecarProcess Start(string address) => SidecarProcess.DotNet(address);
    }
}

public sealed class HttpPythonConformanceTests(HttpPythonConformanceTests.Tcp transport) : LineConformance<HttpPythonConformanceTests.Tcp>(transport)
{
    public sealed class Tcp : HttpTransport
    {
        protected override string MakeAddress(string socket) => $"http://127.0.0.1:{ServerProcess.FreePort()}";

        protected override SidecarProcess Start(string address) => SidecarProcess.Python(address);
    }
}

public sealed class HttpUnixPythonConformanceTests(HttpUnixPythonConformanceTests.Unix transport) : LineConformance<HttpUnixPythonConformanceTests.Unix>(transport)
{
    public sealed class Unix : HttpTransport
    {
        protected override string MakeAddress(string socket) => "http+unix:" + socket;

        protected override SidecarProcess Start(string address) => SidecarProcess.Python(address);
    }
}

/// <summary>The network in this process.</summary>
public sealed class NativeConformanceTests(NativeConformanceTests.Native transport) : RuntimeConformance<NativeConformanceTests.Native>(transport)
{
    public sealed class Native : RuntimeTransport
    {
        private readonly TemporaryFolder _folder = new();

        /// <summary>An ONNX network with one <c>Identity</c>, made for what it will be given.</summary>
        public override async Task<IRuntime> OpenAsync(string model, params TensorSpec[] takes)
        {
            var path = Path.Combine(_folder.Path, $"{Guid.NewGuid():N}.onnx");
            await File.WriteAllBytesAsync(path, TinyOnnx.Identity(takes.Single()));
            return OnnxRuntime.Load(path, new OnnxOptions());
        }

        public override ValueTask DisposeAsync()
        {
            _folder.Dispose();
            return base.DisposeAsync();
        }
    }
}

/// <summary>The Open Inference Protocol. Each runtime has its own connections.</summary>
public abstract class HttpTransport : ProcessTransport
{
    protected virtual bool Http2 => false;

    public override string WorkerKind => Http2 ? "h2c" : "http";

    public override async Task<IRuntime> ConnectAsync(string address, string model) =>
        await HttpRuntime.ConnectAsync(new HttpOptions { Address = Parse(address), Model = model, Http2 = Http2 }, CancellationToken.None);
}
