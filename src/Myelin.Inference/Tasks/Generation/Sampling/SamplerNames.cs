using System.Collections.Frozen;

namespace Myelin.Inference.Tasks.Generation.Sampling;

/// <summary>The samplers by their public names, and what each name makes of a folder's configuration.</summary>
internal static class SamplerNames
{
    public const string Heun = "HeunDiscreteScheduler";
    public const string Lcm = "LCMScheduler";
    public const string UniPc = "UniPCMultistepScheduler";
    public const string Flow = "FlowMatchEulerDiscreteScheduler";
    public const string Ddim = "DDIMScheduler";
    public const string Pndm = "PNDMScheduler";
    public const string Ddpm = "DDPMScheduler";
    public const string Euler = "EulerDiscreteScheduler";
    public const string EulerAncestral = "EulerAncestralDiscreteScheduler";
    public const string Dpm = "DPMSolverMultistepScheduler";

    /// <param name="Class">Scheduler class of the reference.</param>
    /// <param name="Spacing">Custom of the sampler where the folder's configuration is another class's.</param>
    /// <param name="A1111">Name in the metadata that AUTOMATIC1111 writes.</param>
    private sealed record Entry(string Class, Spacing Spacing, string A1111)
    {
        /// <summary>Null leaves the folder's choice.</summary>
        public SigmaShape? Shape { get; init; }
        public bool Stochastic { get; init; }
    }

    private static readonly KeyValuePair<string, Entry>[] s_table =
    [
        new("ddim", new(Ddim, Spacing.Leading, "DDIM")),
        new("pndm", new(Pndm, Spacing.Leading, "PLMS")),
        new("ddpm", new(Ddpm, Spacing.Leading, "DDPM")),
        new("euler", new(Euler, Spacing.Leading, "Euler") { Shape = SigmaShape.Trained }),
        new("euler-karras", new(Euler, Spacing.Linspace, "Euler Karras") { Shape = SigmaShape.Karras }),
        new("euler-a", new(EulerAncestral, Spacing.Linspace, "Euler a")),
        new("heun", new(Heun, Spacing.Linspace, "Heun")),
        new("dpmpp-2m", new(Dpm, Spacing.Linspace, "DPM++ 2M") { Shape = SigmaShape.Trained }),
        new("dpmpp-2m-karras", new(Dpm, Spacing.Linspace, "DPM++ 2M Karras") { Shape = SigmaShape.Karras }),
        new("dpmpp-2m-sde-karras", new(Dpm, Spacing.Linspace, "DPM++ 2M SDE Karras") { Shape = SigmaShape.Karras, Stochastic = true }),
        new("unipc", new(UniPc, Spacing.Linspace, "UniPC")),
        new("lcm", new(Lcm, Spacing.Leading, "LCM")),
        new("flow-euler", new(Flow, Spacing.Linspace, "Flow Euler")),
    ];

    private static readonly FrozenDictionary<string, Entry> s_byName = s_table.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>In the order shown to people.</summary>
    public static IReadOnlyList<string> All { get; } = [.. s_table.Select(t => t.Key)];

    public static IReadOnlyList<string> Classes { get; } = [.. s_table.Select(t => t.Value.Class).Distinct()];

    public static string A1111(string name) => s_byName[name].A1111;

    /// <summary>The name that stands for a folder's own configuration.</summary>
    public static string NameOf(SchedulerConfig config) => s_table.First(t => t.Value.Class == config.Class
        && (t.Value.Shape is null || t.Value.Shape == config.SigmaShape || (config.SigmaShape == SigmaShape.Exponential && t.Value.Shape == SigmaShape.Trained)
            || (config.Class == Dpm && config.Stochastic))
        && (config.Class != Dpm || t.Value.Stochastic == config.Stochastic)).Key;

    /// <summary>
    /// What runs for <paramref name="name"/> on a folder with <paramref name="folder"/>'s configuration. A name of the
    /// folder's own class keeps its configuration. Another keeps what the training fixed (noise schedule, prediction,
    /// end points, trailing spacing) and takes its own class's customs for the rest.
    /// </summary>
    public static SchedulerConfig Resolve(string name, SchedulerConfig folder)
    {
        var entry = s_byName[name];
        if (name == NameOf(folder))
        {
            return folder;
        }

        if (entry.Class == folder.Class)
        {
            return folder with { SigmaShape = entry.Shape ?? folder.SigmaShape, Stochastic = entry.Stochastic };
        }

        return DefaultsOf(entry.Class) with
        {
            TrainTimesteps = folder.TrainTimesteps,
            BetaStart = folder.BetaStart,
            BetaEnd = folder.BetaEnd,
            BetaSchedule = folder.BetaSchedule,
            TrainedBetas = folder.TrainedBetas,
            Prediction = folder.Prediction,
            RescaleZeroSnr = folder.RescaleZeroSnr,
            SetAlphaToOne = folder.SetAlphaToOne,
            StepsOffset = folder.StepsOffset,
            ClipSample = folder.ClipSample,
            ClipRange = folder.ClipRange,
            Spacing = folder.Spacing == Spacing.Trailing ? Spacing.Trailing : entry.Spacing,
            SigmaShape = entry.Shape ?? SigmaShape.Trained,
            Stochastic = entry.Stochastic,
        };
    }

    /// <summary>Defaults that differ between the classes.</summary>
    public static SchedulerConfig DefaultsOf(string schedulerClass) => new()
    {
        Class = schedulerClass,
        Spacing = schedulerClass is Ddim or Pndm or Ddpm or Lcm ? Spacing.Leading : Spacing.Linspace,
        SolverType = schedulerClass == UniPc ? "bh2" : "midpoint",
    };

    /// <param name="config">Resolved for the sampler's name.</param>
    /// <param name="steps">Steps asked for.</param>
    /// <param name="strength">1 from pure noise; less keeps part of a given picture.</param>
    /// <param name="latent">Height and width of the latent.</param>
    /// <exception cref="InputException">The steps or the strength cannot be had.</exception>
    public static ISampler Create(SchedulerConfig config, int steps, double strength, (int Height, int Width) latent)
    {
        if (steps > config.TrainTimesteps)
        {
            throw new InputException("parameters.steps", $"must be at most {config.TrainTimesteps} for this model");
        }

        var plan = new Plan(steps, strength);
        return config.Class switch
        {
            Ddim => new DdimSampler(config, plan),
            Pndm => new PndmSampler(config, plan),
            Ddpm => new DdpmSampler(config, plan),
            Euler or EulerAncestral => new EulerSampler(config, plan),
            Heun => new HeunSampler(config, plan),
            Dpm => new DpmSolverSampler(config, plan),
            UniPc => new UniPcSampler(config, plan),
            Lcm => new LcmSampler(config, plan),
            Flow => new FlowEulerSampler(config, plan, config.DynamicShift?.Mu(latent.Height, latent.Width)),
            _ => throw new ArgumentOutOfRangeException(nameof(config), config.Class, "no such scheduler class"),
        };
    }
}
