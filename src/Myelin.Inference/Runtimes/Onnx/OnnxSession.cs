using System.Buffers;
using System.Globalization;
using Microsoft.ML.OnnxRuntime;

namespace Myelin.Inference.Runtimes.Onnx;

/// <summary>The native session: load, check, run. Its methods may be called from several threads at once.</summary>
internal sealed class OnnxSession : IDisposable
{
    private readonly InferenceSession _session;
    private readonly string[] _outputNames;

    private OnnxSession(InferenceSession session, string name)
    {
        (_session, Name) = (session, name);
        Inputs = [.. session.InputMetadata.Select(pair => Spec(pair.Key, pair.Value))];
        Outputs = [.. session.OutputMetadata.Select(pair => Spec(pair.Key, pair.Value))];
        _outputNames = [.. Outputs.Select(output => output.Name)];
    }

    public string Name { get; }

    public IReadOnlyList<TensorSpec> Inputs { get; }

    public IReadOnlyList<TensorSpec> Outputs { get; }

    public static OnnxSession Load(string path, OnnxOptions options)
    {
        using var settings = new SessionOptions
        {
            IntraOpNumThreads = options.IntraOpThreads,
            InterOpNumThreads = options.InterOpThreads,
            ExecutionMode = options.InterOpThreads > 1 ? ExecutionMode.ORT_PARALLEL : ExecutionMode.ORT_SEQUENTIAL,
            GraphOptimizationLevel = options.OptimiseGraph ? GraphOptimizationLevel.ORT_ENABLE_ALL : GraphOptimizationLevel.ORT_DISABLE_ALL,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,

            // An arena keeps, for the session's life, what its largest call ever took, and takes half as much again for it.
            // The C library's heap is as fast and gives it back (docs/internals/runtimes.md).
            EnableCpuMemArena = false,
        };
        var spinning = options.Spinning ? "1" : "0";
        settings.AddSessionConfigEntry("session.intra_op.allow_spinning", spinning);
        settings.AddSessionConfigEntry("session.inter_op.allow_spinning", spinning);

        if (options.Device != "cpu")
        {
            AppendCuda(settings, options.Device);
        }

        InferenceSession? session = null;
        try
        {
            session = new InferenceSession(path, settings);
            return new OnnxSession(session, Path.GetFileNameWithoutExtension(path));
        }
        catch (Exception fault) when (fault is OnnxRuntimeException or NotSupportedException)
        {
            session?.Dispose();
            throw new RuntimeException($"{Path.GetFileName(path)} does not load: {fault.Message}", retryable: false, fault);
        }
    }

    private static void AppendCuda(SessionOptions settings, string device)
    {
        try
        {
            settings.AppendExecutionProvider_CUDA(device.Split(':') is [_, var index] ? int.Parse(index, CultureInfo.InvariantCulture) : 0);
        }
        catch (Exception fault) when (fault is OnnxRuntimeException or EntryPointNotFoundException or NotSupportedException)
        {
            throw new RuntimeException(
                $"instances.device is {device}, but this ONNX Runtime cannot use it: {fault.Message}. It takes a build with -p:Cuda=true (or runtime.library), NVIDIA's driver, CUDA 13 and cuDNN 9; the log names the file that is missing. Or write device: cpu",
                retryable: false,
                fault);
        }
    }

    /// <exception cref="RuntimeException">A tensor is missing, unknown, of another type or of a shape the network does not take.</exception>
    public void Check(IReadOnlyList<Tensor> inputs)
    {
        foreach (var tensor in inputs)
        {
            var spec = Inputs.FirstOrDefault(candidate => candidate.Name == tensor.Name)
                ?? throw Refused($"unknown input '{tensor.Name}'; there are: {string.Join(", ", Inputs.Select(i => i.Name))}");
            if (spec.Type != tensor.Type)
            {
                throw Refused($"input '{tensor.Name}' is {tensor.Type.WireName()}, the network takes {spec.Type.WireName()}");
            }

            if (!Fits(spec.Shape, tensor.Shape))
            {
                throw Refused($"input '{tensor.Name}' has shape [{string.Join(',', tensor.Shape)}], the network takes [{string.Join(',', spec.Shape)}]");
            }
        }

        foreach (var spec in Inputs)
        {
            if (inputs.Count(tensor => tensor.Name == spec.Name) != 1)
            {
                throw Refused($"input '{spec.Name}' must be given exactly once");
            }
        }

        static RuntimeException Refused(string message) => new(message, retryable: false);
    }

    /// <summary>Runs on the calling thread. <paramref name="options"/> belongs to that thread and is reused by its next call.</summary>
    public TensorSet Run(IReadOnlyList<Tensor> inputs, RunOptions options, CancellationToken cancellationToken)
    {
        var pins = new MemoryHandle[inputs.Count];
        var values = new OrtValue?[inputs.Count];
        try
        {
            for (var index = 0; index < inputs.Count; index++)
            {
                values[index] = ToNative(inputs[index], out pins[index]);
            }

            // Disposing the registration waits for a running callback, so after it the flag is settled and can be cleared.
            using (cancellationToken.UnsafeRegister(static state => ((RunOptions)state!).Terminate = true, options))
            {
                return Collect(_session.Run(options, [.. inputs.Select(input => input.Name)], values!, _outputNames));
            }
        }
        catch (OnnxRuntimeException fault)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new RuntimeException($"{Name} failed: {fault.Message}", retryable: false, fault);
        }
        finally
        {
            options.Terminate = false;
            for (var index = 0; index < inputs.Count; index++)
            {
                values[index]?.Dispose();
                pins[index].Dispose();
            }
        }
    }

    public void Dispose() => _session.Dispose();

    private static unsafe OrtValue ToNative(Tensor tensor, out MemoryHandle pin)
    {
        pin = default;
        if (tensor.Type == ElementType.Bytes)
        {
            return OnnxStrings.ToNative(tensor);
        }

        pin = tensor.Bytes.Pin();
        return OrtValue.CreateTensorValueWithData(
            OrtMemoryInfo.DefaultInstance, tensor.Type.ToNative(), tensor.Shape, (nint)pin.Pointer, tensor.Bytes.Length);
    }

    private TensorSet Collect(IReadOnlyList<OrtValue> values)
    {
        var tensors = new Tensor[values.Count];
        for (var index = 0; index < tensors.Length; index++)
        {
            var info = values[index].GetTensorTypeAndShape();
            tensors[index] = info.IsString
                ? OnnxStrings.FromNative(_outputNames[index], values[index], info.Shape)
                : Wrap(_outputNames[index], values[index], info);
        }

        return new TensorSet(tensors);
    }

    private static Tensor Wrap(string name, OrtValue value, OrtTensorTypeAndShapeInfo info)
    {
        if (!OnnxTypes.TryFromNative(info.ElementDataType, out var type))
        {
            throw new RuntimeException($"output '{name}' is {info.ElementDataType}, which no client can read", retryable: false);
        }

        var memory = new NativeTensorMemory(value);
        return new Tensor(name, type, info.Shape, memory.Memory, memory);
    }

    private static TensorSpec Spec(string name, NodeMetadata node)
    {
        if (!node.IsTensor || !OnnxTypes.TryFromNative(node.ElementDataType, out var type))
        {
            throw new NotSupportedException($"'{name}' is {(node.IsTensor ? node.ElementDataType : node.OnnxValueType)}; only tensors of the Open Inference types are supported");
        }

        return new TensorSpec(name, type, [.. node.Dimensions.Select(dimension => (long)dimension)]);
    }

    private static bool Fits(long[] spec, long[] shape) =>
        spec.Length == shape.Length && !spec.Zip(shape).Any(pair => pair.First >= 0 && pair.First != pair.Second);
}
