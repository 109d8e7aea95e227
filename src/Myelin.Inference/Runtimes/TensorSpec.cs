namespace Myelin.Inference.Runtimes;

/// <summary>What a runtime takes or gives: name, element type and shape; −1 marks a dimension that varies.</summary>
public sealed record TensorSpec(string Name, ElementType Type, long[] Shape);
