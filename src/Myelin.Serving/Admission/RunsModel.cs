namespace Myelin.Serving.Admission;

/// <summary>Whether jobs for a model are this worker's to take. One that it lacks, or that is broken here, may be whole on another.</summary>
internal delegate bool RunsModel(string model);

/// <summary>Loads a model of this worker anew, under traffic; nothing where it has none of that name.</summary>
internal delegate void ReloadModel(string model);
