namespace Myelin.Inference.Tasks.Detection;

/// <summary>Keeps the best of overlapping finds of one class.</summary>
internal static class NonMaximumSuppression
{
    /// <summary>More candidates than this are cut to the best before the quadratic comparison.</summary>
    private const int MaxCandidates = 3000;

    /// <param name="candidates">In any order; left sorted by falling score.</param>
    /// <param name="overlap">Intersection over union above which the weaker one goes.</param>
    /// <param name="most">Finds to keep.</param>
    public static List<Detection> Run(List<Detection> candidates, float overlap, int most)
    {
        candidates.Sort(static (a, b) => b.Score.CompareTo(a.Score));
        if (candidates.Count > MaxCandidates)
        {
            candidates.RemoveRange(MaxCandidates, candidates.Count - MaxCandidates);
        }

        var kept = new List<Detection>();
        foreach (var candidate in candidates)
        {
            if (kept.Count == most)
            {
                break;
            }

            if (!kept.Exists(better => better.ClassId == candidate.ClassId && Overlap(better, candidate) > overlap))
            {
                kept.Add(candidate);
            }
        }

        return kept;
    }

    public static float Overlap(in Detection a, in Detection b)
    {
        var width = Math.Min(a.X2, b.X2) - Math.Max(a.X1, b.X1);
        var height = Math.Min(a.Y2, b.Y2) - Math.Max(a.Y1, b.Y1);
        if (width <= 0 || height <= 0)
        {
            return 0;
        }

        var shared = width * height;
        return shared / (a.Area + b.Area - shared);
    }
}
