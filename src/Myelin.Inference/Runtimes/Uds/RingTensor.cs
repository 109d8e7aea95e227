namespace Myelin.Inference.Runtimes.Uds;

/// <summary>Tensors made in this side's part of a ring, so that sending them copies nothing.</summary>
internal static class RingTensor
{
    /// <returns>Null where there is no ring, no place is free, or the tensor is too small to be worth one.</returns>
    public static Tensor? TryRent(RingArena? arena, int inlineBelow, string name, ElementType type, long[] shape)
    {
        var bytes = checked(Tensor.Elements(shape) * type.Size());
        if (arena is null || bytes == 0 || bytes < inlineBelow || bytes > int.MaxValue || arena.TryRent(bytes) is not { } place)
        {
            return null;
        }

        return new Tensor(name, type, shape, place.Memory, place);
    }
}
