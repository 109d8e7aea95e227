using Myelin.Inference.Imaging;
using Myelin.Testing;
using Myelin.Tests.Inference.Runtimes;
using Shouldly;
using Xunit;

namespace Myelin.Tests.Inference.Imaging;

[Collection(nameof(MeasuredAlone))]
public class PictureAloneTests
{
    [Fact]
    public void Decode_ManyPictures_MemoryStaysBounded()
    {
        var bytes = File.ReadAllBytes(Shared.Sample("winml_dog.jpg"));
        Run(10);
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        var before = process.WorkingSet64;
        Run(60);
        process.Refresh();

        (process.WorkingSet64 - before).ShouldBeLessThan(80L << 20);

        void Run(int times)
        {
            for (var index = 0; index < times; index++)
            {
                using var picture = Picture.Decode(bytes, new ImagingLimits());
                picture.Pixels.Length.ShouldBe(picture.Width * picture.Height * 3);
            }
        }
    }
}
