using Myelin.Serving.Models;

namespace Myelin.Serving.Admission;

/// <summary>Where a worker gets the task of a model from: the model repository.</summary>
/// <exception cref="Myelin.Inference.Models.ModelException">The model is broken or gone.</exception>
internal delegate ValueTask<TaskLease> AcquireTask(string model, CancellationToken cancellationToken);
