"""Pictures made from the font's: recoloured things and two emoji side by side.

Skin tones need no making: the font has every sequence.
"""
import numpy as np
from PIL import Image

from emoji import SIZE

# colour word -> hue in degrees; the last two are not hues and are made by taking the colour out
HUES = {"red": 0, "orange": 28, "yellow": 50, "green": 120, "blue": 215, "purple": 275, "pink": 325}
GREYS = {"black": 0.35, "grey": 1.0}
COLOURS = list(HUES) + list(GREYS)


def to_hsv(picture):
    """uint8 [h, w, 3] -> float hue (degrees), saturation, value, each [h, w]."""
    rgb = picture.astype(np.float32) / 255
    high, low = rgb.max(-1), rgb.min(-1)
    spread = high - low
    safe = np.where(spread == 0, 1, spread)
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    hue = np.where(high == r, (g - b) / safe % 6, np.where(high == g, (b - r) / safe + 2, (r - g) / safe + 4)) * 60
    return hue, np.where(high == 0, 0, spread / np.where(high == 0, 1, high)), high


def from_hsv(hue, saturation, value):
    """The inverse of to_hsv: uint8 [h, w, 3]."""
    def channel(n):
        k = (n + hue / 60) % 6
        return value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)
    return (np.stack([channel(5), channel(3), channel(1)], -1) * 255 + 0.5).astype(np.uint8)


def dominant_hue(picture):
    """The hue (degrees) of most of the coloured area, or None when too little of it has one hue."""
    hue, saturation, value = to_hsv(picture)
    drawn = (picture.min(-1) < 245)
    coloured = drawn & (saturation > 0.35) & (value > 0.25)
    if coloured.sum() < 0.4 * drawn.sum() or coloured.sum() < 250:
        return None
    weights = np.histogram(hue[coloured], bins=36, range=(0, 360))[0].astype(float)
    smooth = weights + np.roll(weights, 1) + np.roll(weights, -1)
    best = int(smooth.argmax())
    if smooth[best] < 0.55 * weights.sum():
        return None
    angles = np.deg2rad(hue[coloured & (distance(hue, best * 10 + 5) < 25)])
    return float(np.rad2deg(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean())) % 360)


def distance(a, b):
    """Degrees between two hues."""
    return np.abs((a - b + 180) % 360 - 180)


def colour_word(hue):
    return min(HUES, key=lambda c: distance(HUES[c], hue))


def recolour(picture, hue, colour):
    """The part of the picture near `hue` takes the colour; the rest stays."""
    h, s, v = to_hsv(picture)
    part = (distance(h, hue) < 40) & (s > 0.12)
    if colour in GREYS:
        s = np.where(part, s * 0.06, s)
        v = np.where(part, v * GREYS[colour] * (0.62 if colour == "grey" else 0.75), v)
    else:
        h = np.where(part, h + HUES[colour] - hue, h)
        s = np.where(part & (colour == "pink"), s * 0.6, s)
        v = np.where(part & (colour == "pink"), np.maximum(v, 0.9), v)
    return from_hsv(h % 360, s, v)


def beside(left, right):
    """Two pictures at half size next to each other on white: uint8 [SIZE, SIZE, 3]."""
    canvas = np.full((SIZE, SIZE, 3), 255, np.uint8)
    for i, picture in enumerate((left, right)):
        small = Image.fromarray(picture).resize((SIZE // 2, SIZE // 2), Image.LANCZOS)
        canvas[SIZE // 4:SIZE // 4 + SIZE // 2, i * SIZE // 2:(i + 1) * SIZE // 2] = np.asarray(small)
    return canvas


def recolourable(emoji):
    """Things, animals, food, hearts and plain faces: not people, flags, signs or names with a colour in them."""
    words = set(emoji.name.replace("-", " ").split())
    return (not emoji.has_tone and emoji.group not in ("Flags", "People & Body", "Symbols")
            and not words & (set(COLOURS) | {"white", "brown", "gray"}))
