using System.Globalization;
using System.Text;
using Myelin.Inference.Tasks.Generation.Pipeline;
using Myelin.Inference.Tasks.Generation.Sampling;

namespace Myelin.Inference.Tasks.Generation;

/// <summary>The parameters of a picture as AUTOMATIC1111 writes them into its PNG files, so that its tools read ours.</summary>
internal static class GenerationText
{
    public static string Of(GenerationRequest request, string model, int index)
    {
        var text = new StringBuilder(request.Prompt);
        if (!string.IsNullOrEmpty(request.NegativePrompt))
        {
            text.Append("\nNegative prompt: ").Append(request.NegativePrompt);
        }

        text.Append(CultureInfo.InvariantCulture, $"\nSteps: {request.Steps}, Sampler: {SamplerNames.A1111(request.Sampler)}, CFG scale: {request.Guidance}, ");
        text.Append(CultureInfo.InvariantCulture, $"Seed: {request.Seed}, Size: {request.Width}x{request.Height}, Model: {model}");
        if (request.Resized)
        {
            text.Append(CultureInfo.InvariantCulture, $", Hires resize: {request.Output.Width}x{request.Output.Height}");
        }

        if (request.Image is not null)
        {
            text.Append(CultureInfo.InvariantCulture, $", Denoising strength: {request.Strength}");
        }

        if (request.Count > 1)
        {
            text.Append(CultureInfo.InvariantCulture, $", Batch size: {request.Count}, Batch pos: {index}");
        }

        return text.Append(", Version: Myelin").ToString();
    }
}
