"""The noise schedule, and the deterministic sampler (DDIM) as diffusers' DDIMScheduler computes it."""
import torch

SCHEDULER = {
    "_class_name": "DDIMScheduler", "_diffusers_version": "0.35.2",
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "trained_betas": None,
    "num_train_timesteps": 1000, "prediction_type": "v_prediction", "timestep_spacing": "trailing",
    "steps_offset": 0, "set_alpha_to_one": True, "rescale_betas_zero_snr": False,
    "clip_sample": False, "clip_sample_range": 1.0, "sample_max_value": 1.0,
    "thresholding": False, "dynamic_thresholding_ratio": 0.995}
STEPS, GUIDANCE = 20, 1.5


def alphas():
    """The share of the picture (squared) that is left at each timestep: float64 [1000]."""
    s = SCHEDULER
    betas = torch.linspace(s["beta_start"] ** 0.5, s["beta_end"] ** 0.5, s["num_train_timesteps"], dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)


def timesteps(steps):
    """Trailing spacing: 999 first."""
    return (torch.arange(1000, 0, -1000 / steps, dtype=torch.float64).round() - 1).long()[:steps]


@torch.no_grad()
def ddim(predict, noise, steps=STEPS):
    """predict(latent, t) -> v; noise [b, c, h, w] -> latent of the same shape."""
    share, x, times = alphas(), noise, timesteps(steps)
    for i, t in enumerate(times):
        a = float(share[t])
        b = float(share[times[i + 1]]) if i + 1 < len(times) else 1.0
        v = predict(x, int(t))
        clean = a ** 0.5 * x - (1 - a) ** 0.5 * v
        error = a ** 0.5 * v + (1 - a) ** 0.5 * x
        x = b ** 0.5 * clean + (1 - b) ** 0.5 * error
    return x


def guided(unet, text, empty, guidance):
    """predict() with classifier-free guidance; text and empty: hidden states [b, n, width]."""
    def predict(x, t):
        both = unet(torch.cat([x, x]), torch.full((2 * len(x),), t), torch.cat([empty.expand_as(text), text]))
        without, with_text = both.chunk(2)
        return without + guidance * (with_text - without)
    return predict
