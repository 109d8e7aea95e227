using System.Runtime.InteropServices;

namespace Myelin.Inference.Imaging.Vips;

/// <summary>A reference to a libvips image: a lazy pipeline until its pixels are asked for. Immutable, so any thread may read it.</summary>
internal sealed class VipsImage : SafeHandle
{
    public VipsImage()
        : base(0, ownsHandle: true)
    {
    }

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        VipsNative.Unref(handle);
        return true;
    }
}
