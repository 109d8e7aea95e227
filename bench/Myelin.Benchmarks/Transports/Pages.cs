using System.Runtime.InteropServices;

namespace Myelin.Benchmarks.Transports;

/// <summary>Touched memory that begins at a page.</summary>
internal sealed unsafe class Pages : IAsyncDisposable
{
    public Pages(nuint bytes)
    {
        Address = (byte*)NativeMemory.AlignedAlloc(bytes, 4096);
        NativeMemory.Fill(Address, bytes, 1);
    }

    public byte* Address { get; }

    public ValueTask DisposeAsync()
    {
        NativeMemory.AlignedFree(Address);
        return default;
    }
}
