using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace Myelin.Inference.Runtimes.Onnx;

/// <summary>
/// The process's one ONNX Runtime environment. Whoever touches the binding calls <see cref="Initialise"/> first:
/// the library carries a telemetry client that is on unless the environment says otherwise before its first call.
/// </summary>
public static class OnnxEnvironment
{
    private static readonly Lazy<string> s_version = new(Create);

    /// <summary>Turns telemetry off, loads the library and creates the environment, once. Safe to repeat from any thread.</summary>
    /// <returns>The library's version, such as <c>1.31.1</c>.</returns>
    /// <exception cref="DllNotFoundException">The library named by <see cref="OnnxOptions.LibraryVariable"/> does not load.</exception>
    public static string Initialise() => s_version.Value;

    private static string Create()
    {
        DisableTelemetry();

        if (OnnxOptions.Library is { } named)
        {
            OrtEnv.DisableDllImportResolver = true;
            NativeLibrary.SetDllImportResolver(typeof(OrtEnv).Assembly, (name, _, _) => name.Contains("onnxruntime", StringComparison.Ordinal) ? NativeLibrary.Load(named) : 0);
        }

        var options = new EnvironmentCreationOptions { logId = "myelin", logLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        var environment = OrtEnv.CreateInstanceWithOptions(ref options);
        environment.DisableTelemetryEvents();
        return environment.GetVersionString();
    }

    internal static void DisableTelemetry() => NativeEnvironment.Set("ORT_DISABLE_TELEMETRY", "1");
}
