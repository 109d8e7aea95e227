namespace Myelin.Serving.Models;

/// <summary>
/// Fixes at acceptance what a caller left to chance, such as the seed of a generation, so that a second attempt of the
/// job gives what the first would have given.
/// </summary>
/// <param name="model">Model of the job.</param>
/// <param name="parameters">A JSON object as UTF-8.</param>
/// <returns>The parameters to store.</returns>
internal delegate ReadOnlyMemory<byte> SettleParameters(string model, ReadOnlyMemory<byte> parameters);
