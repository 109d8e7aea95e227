using System.Text;

namespace Myelin.Inference.Runtimes.Uds;

/// <summary>Strings of tensor names, so that a call whose names came before makes none. Used by one thread. Bounded: a new name takes the place of an old one.</summary>
internal sealed class NameCache
{
    private const int Places = 64;

    private readonly (byte[] Utf8, string Name)[] _names = new (byte[], string)[Places];

    public string Get(ReadOnlySpan<byte> utf8)
    {
        var hash = (uint)utf8.Length;
        foreach (var value in utf8)
        {
            hash = (hash * 31) + value;
        }

        ref var place = ref _names[hash % Places];
        if (place.Utf8 is null || !utf8.SequenceEqual(place.Utf8))
        {
            place = (utf8.ToArray(), Encoding.UTF8.GetString(utf8));
        }

        return place.Name;
    }
}
