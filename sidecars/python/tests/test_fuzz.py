"""Garbage on the socket: mutated vectors, at least 1e5 frames; nothing but a closed connection may come of it."""
import logging
import os
import random
import time
import unittest

from harness import Harness, load_vectors, make_ring

from myelin_sidecar import wire
from myelin_sidecar.work import Work

STREAMS = int(os.environ.get("MYELIN_FUZZ_STREAMS", "45000"))  # of three frames on average
INTERESTING = [0, 1, 0x7F, 0x80, 0xFF]


class Computing(Work):
    """Gives every call its turn on the test's thread."""

    def __init__(self):
        super().__init__()
        self.computed = 0

    def run(self, call):
        self.computed += 1
        super().run(call)


class Faults(logging.Handler):
    def __init__(self):
        super().__init__(logging.ERROR)
        self.seen = []

    def emit(self, record):
        self.seen.append((record.getMessage(), record.exc_info))


def frames_of(data):
    frames = []
    while len(data) >= 16:
        length = wire.HEADER.unpack_from(data)[0]
        frames.append(data[:16 + min(length, len(data))])
        data = data[len(frames[-1]):]
    return frames


def mutate(dice, frames):
    """One to five frames of anybody's, most of them bent somewhere."""
    picked = bytearray()
    for index in range(dice.randint(1, 5)):
        frame = bytearray(dice.choice(frames))
        if dice.random() < 0.7:  # keep call numbers growing, so that more than the first is understood
            frame[8:16] = dice.choice([index + 1, index + 1, index + 1, 5, 0]).to_bytes(8, "little")
        for _ in range(dice.choice([0, 0, 1, 1, 2, 8])):
            kind = dice.random()
            at = dice.randrange(len(frame))
            if kind < 0.5:
                frame[at] = dice.choice(INTERESTING)
            elif kind < 0.8:
                frame[at] ^= 1 << dice.randrange(8)
            elif kind < 0.9:
                del frame[at:at + dice.randint(1, 16)]
            else:
                frame[at:at] = dice.randbytes(dice.randint(1, 16))
            if not frame:
                break
        if dice.random() < 0.5 and len(frame) >= 16:  # a length that fits again lets the payload be looked at
            frame[0:4] = (len(frame) - 16).to_bytes(4, "little")
        picked += frame
    return bytes(picked)


class Garbage(unittest.TestCase):
    def test_mutated_frames_never_break_the_sidecar(self):
        vectors = load_vectors()
        sound = [f for v in vectors if v["valid"] and v["direction"] == "worker-to-sidecar" for f in frames_of(v["bytes"])]
        frames = [f for v in vectors for f in frames_of(v["bytes"])] + 3 * sound
        frames = [f for f in frames if len(f) < 20_000]
        base = {**next(v for v in vectors if v["name"] == "infer-ring"), "held": []}
        phases = [{**base, "phase": phase, "open": [], "held": held} for phase, held in [("ready", []), ("ready", [1, 2, 3, 4, 5]), ("loading", []), ("new", []), ("draining", [])]]
        ring = make_ring(base["context"]["ring"])
        faults = Faults()
        logger = logging.getLogger("myelin_sidecar")
        level = logger.level
        logger.setLevel(logging.ERROR)
        logger.addHandler(faults)
        logger.propagate = False
        work, count, begin = Computing(), 0, time.monotonic()
        try:
            for seed in range(STREAMS):
                dice = random.Random(seed)
                stream = mutate(dice, frames)
                count += len(frames_of(stream))
                connection = Harness(dice.choice(phases[:2] * 3 + phases[2:]), work, ring)
                connection.feed(stream)
                for kind, number, payload in connection.sent():  # what it says is sound whatever it hears
                    self.assertIn(kind, (wire.HELLO, wire.RESULT, wire.DATA, wire.ERROR, wire.PONG))
                self.assertEqual(faults.seen, [], f"seed {seed}")
                for offset in list(ring.free_outputs._taken):
                    ring.free_outputs.free(offset)  # with its connection
        finally:
            logger.removeHandler(faults)
            logger.setLevel(level)
            logger.propagate = True
        print(f"{count} frames in {STREAMS} streams, {work.computed} calls computed, {time.monotonic() - begin:.0f} s", flush=True)
        self.assertGreater(count, 100_000 * STREAMS / 45_000)
        self.assertGreater(work.computed, STREAMS // 100, "some streams are sound enough to compute")


if __name__ == "__main__":
    unittest.main()
