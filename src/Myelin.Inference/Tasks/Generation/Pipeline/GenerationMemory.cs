namespace Myelin.Inference.Tasks.Generation.Pipeline;

/// <summary>
/// What a picture takes at the peak of its making. Attention holds a score for every pair of latent cells, for each head
/// and each row of the guided pair: the fourth power of the side. Once: the runtime scales them and takes their softmax in
/// place. The decoder holds a few layers as wide as the picture. Beside either, the maps that the way up waits for. 0.7 to
/// 1.0 of the measured peaks (docs/internals/generation.md).
/// </summary>
internal static class GenerationMemory
{
    /// <summary>Sixteen maps of 320 channels at an eighth of the side, for the guided pair.</summary>
    private const int MapsPerPixel = 16 * 320 / 64 * 2 * sizeof(float);

    public static long Of(DiffusionFolder folder, int width, int height, bool guided)
    {
        double pixels = (double)width * height;
        var cells = pixels / folder.Latent.Factor / folder.Latent.Factor;
        var attended = cells / Math.Pow(4, folder.Attention.Level);
        var unet = Scores(attended, folder.Attention.Heads * (guided ? 2 : 1));
        var decoder = Math.Max(Scores(cells, 1), pixels * folder.DecoderChannels * sizeof(float) * 6);
        return (long)(Math.Max(unet, decoder) + (pixels * MapsPerPixel));
    }

    private static double Scores(double cells, int maps) => (double)sizeof(float) * maps * cells * cells;
}
