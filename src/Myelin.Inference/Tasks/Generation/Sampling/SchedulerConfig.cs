using System.Text.Json;
using Myelin.Inference.Models;

namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>
/// A <c>scheduler_config.json</c>, or what a sampler's name makes of it. Keys as in diffusers; a key that the file
/// lacks has the default of the scheduler's class there.
/// </summary>
internal sealed record SchedulerConfig
{
    public required string Class { get; init; }
    public int TrainTimesteps { get; init; } = 1000;
    public double BetaStart { get; init; } = 0.0001;
    public double BetaEnd { get; init; } = 0.02;
    public string BetaSchedule { get; init; } = "linear";
    public IReadOnlyList<double>? TrainedBetas { get; init; }
    public Prediction Prediction { get; init; } = Prediction.Epsilon;
    public Spacing Spacing { get; init; } = Spacing.Leading;
    public int StepsOffset { get; init; }
    public bool SetAlphaToOne { get; init; } = true;
    public bool RescaleZeroSnr { get; init; }

    /// <summary>Absent keys read as false: the class's default of true is meant for networks in pixel space.</summary>
    public bool ClipSample { get; init; }
    public float ClipRange { get; init; } = 1;

    /// <summary>Noise put back at each DDIM step; 0 is deterministic. An argument of a step in diffusers, not a key.</summary>
    public double Eta { get; init; }
    public string VarianceType { get; init; } = "fixed_small";
    public SigmaShape SigmaShape { get; init; }
    public double? SigmaMin { get; init; }
    public double? SigmaMax { get; init; }
    public bool LogInterpolation { get; init; }
    public bool ContinuousTimesteps { get; init; }
    public bool FinalSigmaMin { get; init; }
    public int SolverOrder { get; init; } = 2;
    public string SolverType { get; init; } = "midpoint";
    public bool Stochastic { get; init; }
    public bool LowerOrderFinal { get; init; } = true;
    public bool EulerAtFinal { get; init; }
    public bool PredictOriginal { get; init; } = true;
    public int OriginalSteps { get; init; } = 50;
    public double TimestepScaling { get; init; } = 10;
    public double Shift { get; init; } = 1;

    /// <summary>Set where shifting depends on the picture's size; see <see cref="FlowEulerSampler"/>.</summary>
    public DynamicShift? DynamicShift { get; init; }
    public double? ShiftTerminal { get; init; }

    /// <param name="root">The JSON object.</param>
    /// <param name="file">Its name, for errors.</param>
    /// <param name="errors">Everything wrong is added here; the record is usable only if nothing was.</param>
    public static SchedulerConfig Read(JsonElement root, string file, List<ModelError> errors)
    {
        var keys = new SchedulerKeys(root, file, errors);
        var name = keys.Text("_class_name", "");
        if (!SamplerNames.Classes.Contains(name))
        {
            keys.Fail("_class_name", $"unknown scheduler class '{name}'; known: {string.Join(", ", SamplerNames.Classes)}");
        }

        keys.Refuse("thresholding", "dynamic thresholding is meant for networks in pixel space");
        keys.Refuse("use_beta_sigmas", "beta sigmas are not supported");
        keys.Refuse("use_lu_lambdas", "Lu's lambdas are not supported");
        keys.Refuse("use_flow_sigmas", "use FlowMatchEulerDiscreteScheduler for flow matching");
        keys.Refuse("invert_sigmas", "inverted sigmas are not supported");
        var lcm = name == SamplerNames.Lcm;
        var algorithm = keys.Choice("algorithm_type", "dpmsolver++", ["dpmsolver++", "sde-dpmsolver++"]);
        return SamplerNames.DefaultsOf(name) with
        {
            TrainTimesteps = keys.Integer("num_train_timesteps", 1000, 1, 100_000),
            BetaStart = keys.Number("beta_start", lcm || name == SamplerNames.Heun ? 0.00085 : 0.0001),
            BetaEnd = keys.Number("beta_end", lcm || name == SamplerNames.Heun ? 0.012 : 0.02),
            BetaSchedule = keys.Choice("beta_schedule", lcm ? "scaled_linear" : "linear", ["linear", "scaled_linear", "squaredcos_cap_v2"]),
            TrainedBetas = keys.Numbers("trained_betas"),
            Prediction = keys.Prediction(),
            Spacing = keys.Spacing(SamplerNames.DefaultsOf(name).Spacing),
            StepsOffset = keys.Integer("steps_offset", 0, 0, 1000),
            SetAlphaToOne = keys.Flag("set_alpha_to_one", true),
            RescaleZeroSnr = keys.Flag("rescale_betas_zero_snr", false),
            ClipSample = keys.Flag("clip_sample", false),
            ClipRange = (float)keys.Number("clip_sample_range", 1),
            VarianceType = keys.Choice("variance_type", "fixed_small", ["fixed_small", "fixed_small_log", "fixed_large"]),
            SigmaShape = keys.Flag("use_karras_sigmas", false) ? SigmaShape.Karras
                : keys.Flag("use_exponential_sigmas", false) ? SigmaShape.Exponential : SigmaShape.Trained,
            SigmaMin = keys.Optional("sigma_min"),
            SigmaMax = keys.Optional("sigma_max"),
            LogInterpolation = keys.Choice("interpolation_type", "linear", ["linear", "log_linear"]) == "log_linear",
            ContinuousTimesteps = keys.Choice("timestep_type", "discrete", ["discrete", "continuous"]) == "continuous",
            FinalSigmaMin = keys.Choice("final_sigmas_type", "zero", ["zero", "sigma_min"]) == "sigma_min",
            SolverOrder = keys.Integer("solver_order", 2, 1, 3),
            SolverType = keys.Choice("solver_type", name == SamplerNames.UniPc ? "bh2" : "midpoint", ["midpoint", "heun", "logrho", "bh1", "bh2"]),
            Stochastic = algorithm == "sde-dpmsolver++" || keys.Flag("stochastic_sampling", false),
            LowerOrderFinal = keys.Flag("lower_order_final", true),
            EulerAtFinal = keys.Flag("euler_at_final", false),
            PredictOriginal = keys.Flag("predict_x0", true),
            OriginalSteps = keys.Integer("original_inference_steps", 50, 1, 1000),
            TimestepScaling = keys.Number("timestep_scaling", 10),
            Shift = keys.Number("shift", 1),
            DynamicShift = keys.Flag("use_dynamic_shifting", false) ? keys.DynamicShift() : null,
            ShiftTerminal = keys.Optional("shift_terminal"),
        };
    }
}

/// <summary>What the network's output means.</summary>
internal enum Prediction
{
    Epsilon,
    Velocity,
    Sample,
}

/// <summary>How the steps are laid over the timesteps of the training.</summary>
internal enum Spacing
{
    Leading,
    Trailing,
    Linspace,
}

/// <summary>How sigmas lie between the largest and the smallest.</summary>
internal enum SigmaShape
{
    /// <summary>As in the training's noise schedule.</summary>
    Trained,
    Karras,
    Exponential,
}

/// <summary>Shift of a flow's schedule that grows with the picture: <c>mu</c> is linear in the number of latent patches.</summary>
internal sealed record DynamicShift(double BaseShift, double MaxShift, double BaseLength, double MaxLength, bool Exponential)
{
    /// <summary>Flow models see the latent in patches of 2×2.</summary>
    public double Mu(int latentHeight, int latentWidth)
    {
        var slope = (MaxShift - BaseShift) / (MaxLength - BaseLength);
        return (latentHeight / 2 * (latentWidth / 2) * slope) + BaseShift - (slope * BaseLength);
    }
}
