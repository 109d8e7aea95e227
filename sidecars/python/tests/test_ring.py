"""The allocator of the outputs' part, against a model of it."""
import random
import threading
import time
import unittest

import worker  # noqa: F401

from myelin_sidecar.ring import Allocator


class AllocatorProperties(unittest.TestCase):
    def test_random_takes_and_frees_never_overlap_and_all_comes_back(self):
        for seed in range(40):
            dice = random.Random(seed)
            offset, size = dice.choice([0, 64, 1000, 1 << 20]), dice.choice([64, 4096, 100_000])
            begin, end = offset + (-offset % 64), (offset + size) // 64 * 64
            allocator, taken = Allocator(offset, size), []
            for _ in range(1500):
                if taken and dice.random() < 0.48:
                    allocator.free(taken.pop(dice.randrange(len(taken))))
                    continue
                wanted = dice.choice([1, 63, 64, 65, 700, 5000, 40_000])
                at = allocator.take(wanted)
                if at is None:
                    self.assertLess(self._largest_gap(taken, begin, end), -(-wanted // 64) * 64, "there was room")
                    continue
                room = -(-wanted // 64) * 64
                self.assertEqual(at % 64, 0)
                self.assertTrue(begin <= at and at + room <= end)
                for other in taken:
                    self.assertTrue(at + room <= other or other + self.sizes[other] <= at, "places overlap")
                taken.append(at)
                self.sizes[at] = room
            for at in taken:
                allocator.free(at)
            self.assertEqual(allocator.used, 0)
            if end > begin:
                self.assertEqual(allocator.take(end - begin), begin, "free stretches grow together again")

    def setUp(self):
        self.sizes = {}

    def _largest_gap(self, taken, begin, end):
        largest, at = 0, begin
        for offset in sorted(taken):
            largest = max(largest, offset - at)
            at = offset + self.sizes[offset]
        return max(largest, end - at)

    def test_take_waits_until_something_is_free(self):
        allocator = Allocator(0, 128)
        first = allocator.take(128)
        threading.Timer(0.05, allocator.free, [first]).start()
        self.assertEqual(allocator.take(64, timeout=10), 0)

    def test_take_of_a_full_ring_gives_up(self):
        allocator = Allocator(0, 128)
        allocator.take(100)
        begin = time.monotonic()
        self.assertIsNone(allocator.take(1, timeout=0.02))
        self.assertLess(time.monotonic() - begin, 5)

    def test_free_of_what_is_not_taken_is_an_error(self):
        allocator = Allocator(0, 128)
        at = allocator.take(64)
        allocator.free(at)
        with self.assertRaises(KeyError):
            allocator.free(at)


if __name__ == "__main__":
    unittest.main()
