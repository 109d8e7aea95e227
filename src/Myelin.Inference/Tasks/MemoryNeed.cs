namespace Myelin.Inference.Tasks;

/// <summary>What a call takes at its peak beyond the loaded networks: an estimate from its shapes, made without decoding.</summary>
/// <param name="Bytes">0 where it is little.</param>
/// <param name="Field">What makes it large, such as <c>parameters.width</c>.</param>
/// <param name="Cure">What a caller can do, as a sentence.</param>
/// <param name="Usual">What the model is made for, or a rough guess: never refused, it runs alone where it does not fit.</param>
public readonly record struct MemoryNeed(long Bytes, string Field = "parameters", string Cure = "", bool Usual = false);
