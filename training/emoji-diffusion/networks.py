"""The four networks. Pictures are [b, 3, 64, 64] in -1..1, latents [b, 16, 8, 8], prompts [b, 32] ids.

Convolutions and matrix products run in bfloat16 under autocast, everything else in float32.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from sampling import alphas

LATENT = 16          # channels of a latent
FACTOR = 8           # pixels per latent position, each way
SIDE = 8             # latent positions each way that it is trained for: 64 pixels
DRAFT_ERROR = 0.08   # mean squared error of a draft, in scaled latents
VAE_WIDTHS = (48, 64, 96, 128)        # at 1/1 (nominal), 1/2, 1/4, 1/8 of the picture
TEXT_WIDTH, TEXT_LAYERS, TEXT_HEADS = 192, 3, 6
UNET_WIDTHS = (128, 224)              # at 8x8 and 4x4
EMBED = 192          # width of the (time + prompt) embedding


class Norm(nn.GroupNorm):
    """Group normalisation that computes in float32."""

    def __init__(self, channels):
        super().__init__(8, channels)

    def forward(self, x):
        return super().forward(x.float())


def conv(a, b, size=3, stride=1):
    return nn.Conv2d(a, b, size, stride, size // 2)


class Block(nn.Module):
    """Residual block; with `embed` its second norm is scaled and shifted by the embedding."""

    def __init__(self, a, b, embed=0):
        super().__init__()
        self.norm1, self.conv1 = Norm(a), conv(a, b)
        self.norm2, self.conv2 = Norm(b), conv(b, b)
        self.skip = conv(a, b, 1) if a != b else nn.Identity()
        self.embed = nn.Linear(embed, 2 * b) if embed else None
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x, embedding=None):
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        if self.embed is not None:
            scale, shift = self.embed(embedding).float()[:, :, None, None].chunk(2, 1)
            h = h * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


def attend(q, k, v, heads, mask=None):
    """Attention over [b, n, width] queries and [b, m, width] keys; mask [b, 1, 1, m] is added."""
    part = lambda t: t.reshape(t.shape[0], t.shape[1], heads, -1).transpose(1, 2)
    weights = part(q) @ part(k).transpose(2, 3) * (q.shape[2] // heads) ** -0.5
    weights = weights.float() if mask is None else weights.float() + mask
    mixed = weights.softmax(3).to(v.dtype) @ part(v)
    return mixed.transpose(1, 2).reshape(q.shape[0], q.shape[1], q.shape[2])


class Encoder(nn.Module):
    """Picture -> mean and log variance of its latent, [b, 2 * LATENT, h / 8, w / 8]."""

    def __init__(self):
        super().__init__()
        _, w1, w2, w3 = VAE_WIDTHS
        w1 = w1 // 2
        self.layers = nn.Sequential(
            nn.Conv2d(3, w1, 4, 2, 1), Block(w1, w1), nn.Conv2d(w1, w2, 4, 2, 1), Block(w2, w2),
            nn.Conv2d(w2, w3, 4, 2, 1), Block(w3, w3), Norm(w3), nn.SiLU(), conv(w3, 2 * LATENT))

    def forward(self, x):
        return self.layers(x).float()


class Decoder(nn.Module):
    """Latent -> picture. The last doubling is a depth-to-space, so no wide layer runs at full size."""

    def __init__(self):
        super().__init__()
        w0, w1, w2, w3 = VAE_WIDTHS
        up = lambda: nn.Upsample(scale_factor=2, mode="nearest")
        self.layers = nn.Sequential(
            conv(LATENT, w3), Block(w3, w3), Block(w3, w3),
            up(), conv(w3, w2), Block(w2, w2), Block(w2, w2),
            up(), conv(w2, w1), Block(w1, w1), Block(w1, w1),
            Norm(w1), nn.SiLU(), conv(w1, w0), nn.PixelShuffle(2), nn.SiLU(), conv(w0 // 4, 3))

    def forward(self, z):
        return self.layers(z).float()


class TextEncoder(nn.Module):
    """Ids -> hidden states [b, n, TEXT_WIDTH]; the first is the summary, those after the first end are 0."""

    def __init__(self, vocabulary, length, end):
        super().__init__()
        self.end = end
        self.tokens = nn.Embedding(vocabulary, TEXT_WIDTH)
        self.places = nn.Parameter(torch.randn(length, TEXT_WIDTH) * 0.02)
        nn.init.normal_(self.tokens.weight, std=0.05)
        self.layers = nn.ModuleList(nn.ModuleDict({
            "norm1": nn.LayerNorm(TEXT_WIDTH), "qkv": nn.Linear(TEXT_WIDTH, 3 * TEXT_WIDTH),
            "out": nn.Linear(TEXT_WIDTH, TEXT_WIDTH), "norm2": nn.LayerNorm(TEXT_WIDTH),
            "wide": nn.Linear(TEXT_WIDTH, 2 * TEXT_WIDTH), "narrow": nn.Linear(2 * TEXT_WIDTH, TEXT_WIDTH),
        }) for _ in range(TEXT_LAYERS))
        self.norm = nn.LayerNorm(TEXT_WIDTH)

    def forward(self, ids):
        ended = (ids == self.end).float()
        live = (ended.cumsum(1) - ended < 0.5).float()          # 1 up to and with the first end
        mask = (live - 1)[:, None, None, :] * 1e4
        x = self.tokens(ids) + self.places[:ids.shape[1]]
        for layer in self.layers:
            q, k, v = layer["qkv"](layer["norm1"](x)).chunk(3, 2)
            x = x + layer["out"](attend(q, k, v, TEXT_HEADS, mask)).float()
            x = x + layer["narrow"](F.gelu(layer["wide"](layer["norm2"](x)))).float()
        return self.norm(x) * live[:, :, None]


class Attention(nn.Module):
    """Self-attention over the positions, then attention to the prompt."""

    def __init__(self, channels, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = Norm(channels), Norm(channels)
        self.qkv, self.out1 = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.q, self.out2 = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.kv = nn.Linear(TEXT_WIDTH, 2 * channels, bias=False)
        for last in (self.out1, self.out2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x, text):
        b, c, h, w = x.shape
        flat = lambda t: t.flatten(2).transpose(1, 2)
        grid = lambda t: t.float().transpose(1, 2).reshape(b, c, h, w)
        q, k, v = self.qkv(flat(self.norm1(x))).chunk(3, 2)
        x = x + grid(self.out1(attend(q, k, v, self.heads)))
        k, v = self.kv(text).chunk(2, 2)
        return x + grid(self.out2(attend(self.q(flat(self.norm2(x))), k, v, self.heads)))


class Draft(nn.Module):
    """Hidden states of a prompt [b, n, TEXT_WIDTH] -> mean latent [b, LATENT, SIDE, SIDE].

    The sum of one picture from the summary, and of two half pictures from what two learned questions
    ("what is left?", "what is right?") find in the prompt. The halves share their layers.
    """

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(TEXT_WIDTH, 896), nn.GELU(), nn.Linear(896, LATENT * SIDE * SIDE))
        self.questions = nn.Parameter(torch.randn(2, TEXT_WIDTH) * 0.5)
        self.key, self.value = nn.Linear(TEXT_WIDTH, TEXT_WIDTH, bias=False), nn.Linear(TEXT_WIDTH, TEXT_WIDTH, bias=False)
        self.side = nn.Sequential(nn.Linear(TEXT_WIDTH, 640), nn.GELU(), nn.Linear(640, LATENT * SIDE * SIDE // 2))
        nn.init.zeros_(self.side[2].weight)
        nn.init.zeros_(self.side[2].bias)

    def forward(self, text):
        whole = self.layers(text[:, 0]).float().reshape(-1, LATENT, SIDE, SIDE)
        q = self.questions + torch.zeros_like(text[:, :2])
        halves = self.side(attend(q, self.key(text).float(), self.value(text).float(), 4)).float()
        halves = halves.reshape(-1, 2, LATENT, SIDE, SIDE // 2)
        return whole + torch.cat([halves[:, 0], halves[:, 1]], 3)


class UNet(nn.Module):
    """Noisy latent, timestep (0..999) and prompt -> v = sqrt(a) noise - sqrt(1 - a) latent.

    From the prompt it first makes a draft, the mean of the latents that the prompt may stand for
    (a blurred picture, trained as such). If latents were normal around their drafts, the best v would follow from
    the draft and the noisy latent by arithmetic: that is the base; the layers, which see both, learn the difference.
    """

    def __init__(self):
        super().__init__()
        w0, w1 = UNET_WIDTHS
        self.time = nn.Sequential(nn.Linear(128, EMBED), nn.SiLU(), nn.Linear(EMBED, EMBED))
        self.summary = nn.Sequential(nn.Linear(TEXT_WIDTH, EMBED), nn.SiLU(), nn.Linear(EMBED, EMBED))
        self.draft = Draft()
        self.register_buffer("alphas", alphas().float(), persistent=False)
        self.stem = conv(2 * LATENT, w0)
        self.down1, self.down2 = Block(w0, w0, EMBED), Block(w0, w0, EMBED)
        self.attend_down = Attention(w0, 4)
        self.shrink = nn.Conv2d(w0, w1, 4, 2, 1)
        self.low1, self.low2 = Block(w1, w1, EMBED), Block(w1, w1, EMBED)
        self.attend_low = Attention(w1, 7)
        self.low3, self.low4 = Block(w1, w1, EMBED), Block(w1, w1, EMBED)
        self.attend_low2 = Attention(w1, 7)
        self.low5 = Block(2 * w1, w1, EMBED)
        self.grow = conv(w1, w0)
        self.up1, self.up2, self.up3 = (Block(2 * w0, w0, EMBED) for _ in range(3))
        self.attend_up = Attention(w0, 4)
        self.norm, self.last = Norm(w0), conv(w0, LATENT)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x, timestep, text):
        rates = torch.exp(torch.arange(64, device=x.device) * (-math.log(10000) / 64))
        angles = timestep.reshape(-1, 1).float() * rates
        e = self.time(torch.cat([angles.cos(), angles.sin()], 1)) + self.summary(text[:, 0])
        e = F.silu(e.float())
        draft = F.interpolate(self.draft(text), size=x.shape[2:], mode="nearest")
        draft = draft + torch.zeros_like(x)
        base = self.base(x, timestep, draft)
        a = self.stem(torch.cat([x, draft], 1))
        b = self.down1(a, e)
        c = self.attend_down(self.down2(b, e), text)
        s = self.low1(self.shrink(c), e)
        h = self.attend_low(self.low2(s, e), text)
        h = self.attend_low2(self.low4(self.low3(h, e), e), text)
        h = self.low5(torch.cat([h, s.to(h.dtype)], 1), e)
        h = self.grow(F.interpolate(h.float(), scale_factor=2.0, mode="nearest"))
        h = self.up1(torch.cat([h.float(), c.float()], 1), e)
        h = self.up2(torch.cat([h, b.float()], 1), e)
        h = self.attend_up(self.up3(torch.cat([h, a.float()], 1), e), text)
        return base + self.last(F.silu(self.norm(h))).float()

    def base(self, x, timestep, draft):
        """v if latents were normal around the draft with variance DRAFT_ERROR."""
        a = self.alphas[timestep.long()].reshape(-1, 1, 1, 1)
        clean = draft + a.sqrt() * DRAFT_ERROR / (a * DRAFT_ERROR + 1 - a) * (x - a.sqrt() * draft)
        return (a.sqrt() * x - clean) / (1 - a).sqrt()


def parameters(net):
    return sum(p.numel() for p in net.parameters())
