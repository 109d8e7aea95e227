"""The emoji there are, their words, and their pictures.

Sources, all Debian packages:
  fonts-noto-color-emoji  the pictures (136x128 bitmaps, SIL Open Font License)
  unicode-cldr-core       English names and keywords (Unicode licence)
  unicode-data            emoji-test.txt: which sequences are fully qualified
"""
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
CLDR = "/usr/share/unicode/cldr/common/"
EMOJI_TEST = "/usr/share/unicode/emoji/emoji-test.txt"

SIZE = 64            # pixels, width and height of a training picture
FONT_SIZE = 109      # the one size at which the bitmaps of the font are drawn
GLYPH = 136          # advance width of a glyph at that size, in pixels


@dataclass
class Emoji:
    text: str                     # the sequence of code points
    name: str                     # CLDR short name, lower case
    group: str                    # group of emoji-test.txt, e.g. "Animals & Nature"
    keywords: list = field(default_factory=list)

    @property
    def has_tone(self):
        return "skin tone" in self.name and ":" in self.name

    @property
    def is_flag(self):
        return self.group == "Flags"


def clean(words):
    """One spelling for names and prompts: lower case, plain apostrophes, single spaces."""
    return re.sub(r"\s+", " ", words.lower().replace("’", "'").replace("“", "").replace("”", "")).strip()


def annotations():
    """CLDR: sequence without U+FE0F -> (name, [keywords])."""
    names, keywords = {}, {}
    for path in ("annotations/en.xml", "annotationsDerived/en.xml"):
        for node in ElementTree.parse(CLDR + path).iter("annotation"):
            if node.get("type") == "tts":
                names[node.get("cp")] = clean(node.text)
            else:
                keywords[node.get("cp")] = [clean(k) for k in node.text.split("|")]
    return {cp: (name, keywords.get(cp, [])) for cp, name in names.items()}


def load_emoji():
    """All fully qualified emoji that CLDR names and the font draws as one glyph."""
    words = annotations()
    font = ImageFont.truetype(FONT, FONT_SIZE, layout_engine=ImageFont.Layout.RAQM)
    found, group = [], ""
    for line in open(EMOJI_TEST, encoding="utf-8"):
        if line.startswith("# group:"):
            group = line.split(":", 1)[1].strip()
        if "; fully-qualified" not in line:
            continue
        text = "".join(chr(int(c, 16)) for c in line.split(";")[0].split())
        entry = words.get(text.replace("\ufe0f", ""))
        if entry and round(font.getlength(text)) == GLYPH:
            name, keywords = entry
            found.append(Emoji(text, name, group, [k for k in keywords if k != name]))
    return found


def draw(emoji, font):
    """The picture of one emoji on white: uint8 array [SIZE, SIZE, 3]."""
    canvas = Image.new("RGBA", (GLYPH + 8, GLYPH + 8), (255, 255, 255, 255))
    glyph = Image.new("RGBA", canvas.size, (255, 255, 255, 0))
    ImageDraw.Draw(glyph).text((4, 4), emoji.text, font=font, embedded_color=True, anchor="lt")
    box = glyph.getbbox()
    if box is None:
        return None
    glyph = glyph.crop(box)
    at = ((canvas.width - glyph.width) // 2, (canvas.height - glyph.height) // 2)
    canvas.alpha_composite(glyph, at)
    return np.asarray(canvas.convert("RGB").resize((SIZE, SIZE), Image.LANCZOS))


def draw_all(emojis):
    """Pictures of all emoji: uint8 array [n, SIZE, SIZE, 3]."""
    font = ImageFont.truetype(FONT, FONT_SIZE, layout_engine=ImageFont.Layout.RAQM)
    return np.stack([draw(e, font) for e in emojis])
