namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>Small dense systems of equations.</summary>
internal static class LinearSystem
{
    /// <summary>Gauss–Jordan with pivoting; rows are coefficients and then the right-hand sides. Overwrites its input.</summary>
    /// <returns>[unknown, right-hand side]</returns>
    public static double[,] Solve(double[,] system)
    {
        var (n, width) = (system.GetLength(0), system.GetLength(1));
        for (var pivot = 0; pivot < n; pivot++)
        {
            var best = Enumerable.Range(pivot, n - pivot).MaxBy(r => Math.Abs(system[r, pivot]));
            for (var c = 0; c < width; c++)
            {
                (system[pivot, c], system[best, c]) = (system[best, c], system[pivot, c]);
            }

            for (var row = 0; row < n; row++)
            {
                var factor = row == pivot ? 0 : system[row, pivot] / system[pivot, pivot];
                for (var c = pivot; c < width; c++)
                {
                    system[row, c] -= factor * system[pivot, c];
                }
            }
        }

        var solution = new double[n, width - n];
        for (var row = 0; row < n; row++)
        {
            for (var c = n; c < width; c++)
            {
                solution[row, c - n] = system[row, c] / system[row, row];
            }
        }

        return solution;
    }
}
