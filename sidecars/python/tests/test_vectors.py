"""The SDK, and the tests' own worker, against tests/vectors/sidecar."""
import subprocess
import sys
import unittest

from harness import VECTORS, Harness, load_vectors
from worker import Reader

from myelin_sidecar import wire
from myelin_sidecar.tensors import BY_NAME
from myelin_sidecar.wire import BadFrame, HeadTensor, Place


class Vectors(unittest.TestCase):
    def test_files_are_what_the_generator_writes(self):
        made = subprocess.run([sys.executable, str(VECTORS / "make.py"), "--check"], capture_output=True, text=True, timeout=60)
        self.assertEqual((made.returncode, made.stdout.strip()), (0, ""))

    def test_worker_to_sidecar(self):
        count = 0
        for vector in load_vectors():
            if vector["direction"] != "worker-to-sidecar":
                continue
            count += 1
            with self.subTest(vector["name"]):
                connection = Harness(vector)
                frames = connection.feed(vector["bytes"])
                sent = connection.sent()
                self.assertEqual(frames, vector["frames"])
                errors = [{"code": wire.read_object(payload, "")["code"], "call": call} for kind, call, payload in sent if kind == wire.ERROR]
                if vector["valid"]:
                    # CANCEL in the middle of DATA ends the call at once; nothing else is answered
                    self.assertEqual(errors, [{"code": "cancelled", "call": 6}] if vector["name"] == "cancel-in-the-middle-of-data" else [])
                    if "messages" in vector:
                        self.assertEqual(connection.work.messages, vector["messages"])
                else:
                    self.assertEqual(errors, [vector["error"]])
                pings = [f["payload"] for f in vector["frames"] if f["type"] == "PING"]
                self.assertEqual([p.hex() for k, _, p in sent if k == wire.PONG], pings)
        self.assertGreater(count, 90)

    def test_sidecar_to_worker(self):
        count = 0
        for vector in load_vectors():
            if vector["direction"] != "sidecar-to-worker":
                continue
            count += 1
            with self.subTest(vector["name"]):
                ring = vector["context"]["ring"]
                part = Place(ring["outputs"]["offset"], ring["outputs"]["offset"] + ring["outputs"]["bytes"])
                reader = Reader(vector["phase"], part, vector.get("open", []))
                frames, data, broken = [], vector["bytes"], False
                try:
                    while data:
                        length, kind, flags, zero, number = wire.HEADER.unpack_from(data)
                        wire.check_header(length, kind, flags, zero)
                        seen = reader.frame(kind, number, data[16:16 + length])
                        frames += [seen] if seen else []
                        data = data[16 + length:]
                except BadFrame:
                    broken = True
                self.assertEqual(frames, vector["frames"])
                self.assertEqual(broken, not vector["valid"])
                for message in vector.get("messages", []):
                    answer = reader.done[message["call"]]
                    content = {t.name: answer.inline[t.offset:t.offset + t.size].hex() for t in answer.head.tensors}
                    self.assertEqual(content, message["tensors"])
        self.assertGreater(count, 30)

    def test_heads_are_written_as_they_are_read(self):
        count = 0
        for vector in load_vectors():
            at = 0
            for frame in vector["frames"]:
                length, kind, _, _, _ = wire.HEADER.unpack_from(vector["bytes"], at)
                while kind >= wire.FIRST_EXTENSION:
                    at += 16 + length
                    length, kind, _, _, _ = wire.HEADER.unpack_from(vector["bytes"], at)
                payload = vector["bytes"][at + 16:at + 16 + length]
                at += 16 + length
                if kind not in (wire.INFER, wire.RESULT):
                    continue
                count += 1
                placed = [HeadTensor(t["name"], BY_NAME[t["datatype"]], tuple(t["shape"]), t["place"] == "ring", t["offset"], t["bytes"]) for t in frame["tensors"]]
                parameters = payload[len(payload) - int.from_bytes(payload[4:8], "little"):]
                with self.subTest(vector["name"]):
                    self.assertEqual(wire.write_head(frame["model"], frame["time"], frame["inline"], placed, parameters), payload)
        self.assertGreater(count, 20)


if __name__ == "__main__":
    unittest.main()
