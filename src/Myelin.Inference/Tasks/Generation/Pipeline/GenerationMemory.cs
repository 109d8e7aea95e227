namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>
/// What a picture takes at the peak of its making. Attention holds a score for every pair of latent cells, for each head
/// and each row of the guided pair, beside their softmax: the fourth power of the side. The decoder holds a few layers as
/// wide as the picture. 0.8 to 1.7 of the measured peaks (docs/internals/generation.md).
/// </summary>
internal static class GenerationMemory
{
    public static long Of(DiffusionFolder folder, int width, int height, bool guided)
    {
        double pixels = (double)width * height;
        var cells = pixels / folder.Latent.Factor / folder.Latent.Factor;
        var attended = cells / Math.Pow(4, folder.Attention.Level);
        var unet = Scores(attended, folder.Attention.Heads * (guided ? 2 : 1));
        var decoder = Math.Max(Scores(cells, 1), pixels * folder.DecoderChannels * sizeof(float) * 6);
        return (long)(Math.Max(unet, decoder) + (pixels * 64));
    }

    private static double Scores(double cells, int maps) => 2.0 * sizeof(float) * maps * cells * cells;
}
