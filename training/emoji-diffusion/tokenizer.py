"""CLIP's byte-pair encoding with a small vocabulary learned on the captions.

The files it writes (vocab.json, merges.txt) are CLIP's, so any CLIP tokenizer reads them:
lower case, CLIP's splitting pattern, bytes as printable characters, `</w>` at the end of a word.
"""
import json
import re
from collections import Counter

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 32          # tokens of a prompt, start and end included
SPLIT = re.compile(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\w\s]|_)+")


def byte_characters():
    """CLIP's (GPT-2's) table: byte -> printable character, in CLIP's order."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table = {b: chr(b) for b in keep}
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + len(table) - len(keep))
    return table


BYTES = byte_characters()


def split(text):
    """Prompt -> words, each a string of byte characters."""
    words = SPLIT.findall(re.sub(r"\s+", " ", text.strip()).lower())
    return ["".join(BYTES[b] for b in w.encode("utf-8")) for w in words]


def merge(symbols, pair):
    """Join every neighbouring pair equal to `pair`."""
    out, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return tuple(out)


def learn(texts, count):
    """The `count` most useful merges of the texts."""
    words = Counter(w for t in texts for w in split(t))
    pieces = {tuple(w[:-1]) + (w[-1] + "</w>",): n for w, n in words.items()}
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for symbols, n in pieces.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += n
        if not pairs:
            break
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        pieces = {(merge(s, best) if best[0] in s else s): n for s, n in pieces.items()}
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.rank = {m: i for i, m in enumerate(self.merges)}
        characters = list(BYTES.values())
        tokens = characters + [c + "</w>" for c in characters] + ["".join(m) for m in self.merges] + [START, END]
        self.ids = {t: i for i, t in enumerate(tokens)}
        self.start, self.end = self.ids[START], self.ids[END]
        self.cache = {}

    def word(self, word):
        if word not in self.cache:
            symbols = tuple(word[:-1]) + (word[-1] + "</w>",)
            while len(symbols) > 1:
                best = min(zip(symbols, symbols[1:]), key=lambda p: self.rank.get(p, 1 << 30))
                if best not in self.rank:
                    break
                symbols = merge(symbols, best)
            self.cache[word] = [self.ids[s] for s in symbols]
        return self.cache[word]

    def encode(self, text):
        """Prompt -> LENGTH ids: start, tokens, end, and ends as padding."""
        ids = [i for w in split(text) for i in self.word(w)][:LENGTH - 2]
        return [self.start] + ids + [self.end] * (LENGTH - 1 - len(ids))

    def save(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        special = {k: {"content": v, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
                   for k, v in (("bos_token", START), ("eos_token", END), ("pad_token", END), ("unk_token", END))}
        config = {
            "added_tokens_decoder": {str(self.ids[t]): dict(special[k], special=True)
                                     for k, t in (("bos_token", START), ("eos_token", END))},
            "bos_token": START, "clean_up_tokenization_spaces": False, "do_lower_case": True, "eos_token": END,
            "errors": "replace", "model_max_length": LENGTH, "pad_token": END,
            "tokenizer_class": "CLIPTokenizer", "unk_token": END}
        write = lambda name, value: (folder / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")
        write("vocab.json", self.ids)
        write("special_tokens_map.json", special)
        write("tokenizer_config.json", config)
        (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in self.merges), "utf-8")
