"""Everything the networks are trained on: pictures and the captions that may stand for them.

Kinds of pictures and how often a training batch holds them: see SHARES.
"""
import pickle

import numpy as np

import augment
from emoji import draw_all, load_emoji

SHARES = {"plain": 0.50, "tone": 0.16, "colour": 0.11, "pair": 0.23}
PAIRS = 24000        # compositions of two emoji that are drawn
PAIR_GROUPS = ("Smileys & Emotion", "Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects")
COLOURS_EACH = 3     # recolourings of each emoji that allows it


# The emoji that an everyday word means, where CLDR gives the word to many
MEANT = {
    "heart": "red heart", "car": "automobile", "sun": "sun", "moon": "crescent moon", "tree": "deciduous tree", "flower": "cherry blossom",
    "smiley": "grinning face", "smile": "grinning face with smiling eyes", "dog": "dog", "dog face": "dog face", "kitten": "cat face",
    "fish": "fish", "bird": "bird", "phone": "mobile phone", "book": "closed book", "ball": "soccer ball", "beer": "beer mug",
    "wine": "wine glass", "coffee": "hot beverage", "cake": "birthday cake", "plane": "airplane", "boat": "sailboat", "ship": "ship",
    "clock": "alarm clock", "hat": "top hat", "shoe": "running shoe", "tie": "necktie", "gift": "wrapped gift", "present": "wrapped gift",
    "money": "money bag", "fries": "french fries", "burger": "hamburger", "snow": "snowflake", "lightning": "high voltage",
    "poop": "pile of poo", "computer": "laptop", "tv": "television", "lock": "locked", "bulb": "light bulb", "drink": "cup with straw",
    "ice cream": "ice cream", "apple": "red apple", "mouse": "mouse face", "rabbit": "rabbit face", "cow": "cow face", "pig": "pig face",
    "horse": "horse", "lion": "lion", "tiger": "tiger face", "monkey": "monkey face", "chicken": "chicken", "train": "locomotive",
    "bus": "bus", "truck": "delivery truck", "bike": "bicycle", "house": "house", "star": "star", "football": "american football",
    "basketball": "basketball", "umbrella": "umbrella with rain drops", "cloud": "cloud", "mountain": "mountain", "robot": "robot",
    "ghost": "ghost", "alien": "alien", "skull": "skull", "pen": "pen", "letter": "envelope", "mail": "envelope", "bell": "bell",
    "music": "musical notes", "drum": "drum", "sword": "dagger", "glasses": "glasses", "dress": "dress", "shirt": "t-shirt"}


class Dataset:
    """pictures: uint8 [n, 64, 64, 3]; captions[i]: [(words, weight), ...]; kinds: kind -> indices.
    The first len(emojis) pictures are the emoji themselves, in the order of `emojis`."""

    def __init__(self, emojis, pictures, captions, kinds):
        self.emojis, self.pictures, self.captions, self.kinds = emojis, pictures, captions, kinds

    def draw(self, rng, count, shares=None):
        """`count` random indices, the kinds in their shares."""
        shares = shares or SHARES
        names = list(shares)
        picks = rng.choice(len(names), count, p=np.array([shares[n] for n in names]) / sum(shares.values()))
        return np.array([rng.choice(self.kinds[names[k]]) for k in picks])

    def caption(self, rng, index):
        words, weights = self.captions[index]
        return words[int(np.searchsorted(weights, rng.random_sample() * weights[-1]))]


def with_weights(pairs):
    words = [w for w, _ in pairs]
    return words, np.cumsum([x for _, x in pairs])


def short_names(emoji, rarity):
    """What people call it: keywords that are rare enough to mean this emoji, best first."""
    return [k for k in emoji.keywords if len(k) > 2 and (rarity.get(k, 99) <= 3 or (k in emoji.name.split() and rarity.get(k, 99) <= 8))]


def captions_of(emoji, rarity):
    """[(caption, weight)]: mostly the name, then its words and keywords in other orders."""
    name = emoji.name
    options = [(name, 0.66)]
    plain = name.replace(":", "").replace(",", "")
    if emoji.is_flag and ":" in name:
        place = name.split(":", 1)[1].strip()
        return options + [(f"{place} flag", 0.12), (f"flag of {place}", 0.12), (place, 0.10)]
    if emoji.has_tone:
        what, tone = name.split(":", 1)
        options += [(plain, 0.12), (f"{tone.strip()} {what}", 0.10)]
    elif plain != name:
        options.append((plain, 0.1))
    options += [(word, 0.15) for word, meant in MEANT.items() if meant == name and word != name]
    for word in short_names(emoji, rarity)[:5]:
        options.append((word, 0.06))
    if len(emoji.keywords) > 1:
        options.append((f"{name}, {emoji.keywords[0]}", 0.04))
        options.append((f"{emoji.keywords[-1]}, {name}", 0.04))
    return options


def build(progress=print):
    """Draw every picture (a minute)."""
    emojis = load_emoji()
    progress(f"{len(emojis)} emoji are drawn by the font and named by CLDR")
    base = draw_all(emojis)
    rng = np.random.RandomState(1)
    rarity = {}
    for e in emojis:
        if not e.has_tone:
            for k in e.keywords:
                rarity[k] = rarity.get(k, 0) + 1

    pictures, captions = list(base), [with_weights(captions_of(e, rarity)) for e in emojis]
    kinds = {"plain": [i for i, e in enumerate(emojis) if not e.has_tone],
             "tone": [i for i, e in enumerate(emojis) if e.has_tone], "colour": [], "pair": []}

    def add(kind, picture, options):
        kinds[kind].append(len(pictures))
        pictures.append(picture)
        captions.append(with_weights(options))

    def called(e):
        meant = [word for word, name in MEANT.items() if name == e.name and word != name]
        return [e.name] + meant * 2 + short_names(e, rarity)[:2]

    calls = {i: called(emojis[i]) for i in kinds["plain"]}
    for i in kinds["plain"]:
        hue = augment.dominant_hue(base[i]) if augment.recolourable(emojis[i]) else None
        if hue is None:
            continue
        own = augment.colour_word(hue)
        others = [c for c in augment.COLOURS if c != own]
        for colour in [own] + list(rng.choice(others, COLOURS_EACH, replace=False)):
            picture = base[i] if colour == own else augment.recolour(base[i], hue, colour)
            add("colour", picture, [(f"{colour} {word}", 1.0) for word in calls[i]])

    # pairs: of things with short names, so that two fit in a prompt
    easy = [i for i in kinds["plain"] if emojis[i].group in PAIR_GROUPS and len(emojis[i].name.split()) <= 3]
    for _ in range(PAIRS):
        a, b = rng.choice(easy, 2, replace=False)
        options = [(f"{x} and {y}", 1.0) for x in calls[a] for y in calls[b]]
        add("pair", augment.beside(base[a], base[b]), options)
    progress(", ".join(f"{len(v)} {k}" for k, v in kinds.items()) + " pictures")
    return Dataset(emojis, np.stack(pictures), captions, {k: np.array(v) for k, v in kinds.items()})


def load(path, progress=print):
    """The dataset, drawn once and kept at `path`."""
    if not path.exists():
        data = build(progress)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(pickle.dumps(data, protocol=4))
        part.rename(path)
    return pickle.loads(path.read_bytes())
