namespace Myelin.Serving.Registry;

/// <summary>How busy this worker is; whoever runs its jobs knows.</summary>
/// <param name="Capacity">Jobs at a time.</param>
/// <param name="Running">Jobs now.</param>
internal sealed record WorkerLoad(int Capacity, Func<int> Running);
