"""Real sidecar processes: the conformance models, signals, a parent that goes, exit codes."""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from running import Process
from worker import Worker, fp32, int64

from myelin_sidecar import Tensor, wire

IDENTITY, DOUBLE, SLEEP, FAIL, PROGRESS, CRASH, HANG, BIG = range(8)


class Conformance(unittest.TestCase):
    def test_the_models_do_what_the_suites_expect(self):
        with Process() as sidecar, Worker(sidecar.path, ring=8 << 20) as worker:
            worker.ready()
            self.assertEqual([m["name"] for m in worker.reader.ready["models"]], ["identity", "double", "sleep", "fail", "progress", "crash", "hang", "big"])
            self.assertEqual({m["concurrency"] for m in worker.reader.ready["models"]}, {16})
            self.assertEqual(worker.infer(IDENTITY, {"a": fp32(1.0), "b": int64(2)}).tensors["b"].tolist(), [2])
            self.assertEqual(worker.infer(DOUBLE, {"x": fp32(1.5, -2.0)}).tensors["y"].tolist(), [3.0, -4.0])
            self.assertEqual(worker.infer(SLEEP, {"ms": int64(20)}).tensors["ms"].tolist(), [20])
            failed = worker.infer(FAIL, {"message": Tensor.of("BYTES", [1], ["böse"])})
            self.assertEqual(failed.error, {"code": "failed", "message": "böse", "retryable": False})
            progress = worker.infer(PROGRESS, {"steps": int64(5)})
            self.assertEqual(progress.progress, [(n, 5, bytes(range(16))) for n in range(1, 6)])
            self.assertEqual(progress.tensors["steps"].tolist(), [5])
            for size in (0, 1, 251, 4096, 4097, 3_000_001):
                answer = worker.infer(BIG, {"bytes": int64(size)})
                self.assertEqual(bytes(answer.tensors["y"].data), (bytes(range(251)) * (size // 251 + 1))[:size])
                self.assertEqual(answer.ring, ["y"] if size > 4096 else [])
            number = worker.begin(SLEEP, {"ms": int64(60_000)})
            worker.send(wire.CANCEL, number)
            self.assertEqual(worker.wait(number).error["code"], "cancelled")

    def test_a_crash_ends_the_stream(self):
        with Process() as sidecar, Worker(sidecar.path) as worker:
            worker.ready().begin(CRASH)
            with self.assertRaises((EOFError, ConnectionResetError)):
                while True:
                    worker.read()
            self.assertEqual(sidecar.process.wait(10), 7)

    def test_many_calls_wait_their_turn_in_order_of_arrival(self):
        with Process() as sidecar, Worker(sidecar.path, max_calls=1000) as worker:
            worker.ready()
            numbers = [worker.begin(SLEEP, {"ms": int64(1)}) for _ in range(1000)]
            for number in numbers:
                self.assertIsNone(worker.wait(number).error)


class Ends(unittest.TestCase):
    def test_sigterm_finishes_what_is_open_and_leaves_with_0(self):
        with Process() as sidecar, Worker(sidecar.path) as worker:
            number = worker.ready().begin(SLEEP, {"ms": int64(300)})
            worker.send(wire.PING, 0, bytes(8))
            worker.until(lambda: worker.reader.pongs)
            sidecar.process.send_signal(signal.SIGTERM)
            worker.until(lambda: worker.reader.draining)
            self.assertEqual(worker.infer(DOUBLE, {"x": fp32(1.0)}).error["code"], "draining")
            self.assertEqual(worker.wait(number).tensors["ms"].tolist(), [300])
            worker.close()
            self.assertEqual(sidecar.process.wait(10), 0)

    def test_sigterm_without_a_worker_and_while_loading(self):
        script = "import sys, time; sys.path.insert(0, sys.argv[1])\nfrom myelin_sidecar import Model, serve\n" \
                 "class Slow(Model):\n    def load(self, context): print('loading', flush=True); time.sleep(600)\nserve(Slow())"
        with Process("-c", script, str(Path(__file__).resolve().parent.parent)) as sidecar:
            self._until(lambda: "loading" in sidecar.output())
            sidecar.process.send_signal(signal.SIGTERM)
            self.assertEqual(sidecar.process.wait(10), 0)

    def test_a_hanging_call_does_not_keep_a_second_sigterm_from_ending_it(self):
        with Process() as sidecar, Worker(sidecar.path) as worker:
            worker.ready().begin(HANG)
            sidecar.process.send_signal(signal.SIGTERM)
            worker.until(lambda: worker.reader.draining)
            sidecar.process.send_signal(signal.SIGTERM)
            self.assertEqual(sidecar.process.wait(10), -signal.SIGTERM)

    def test_a_sidecar_leaves_when_its_parent_has_been_killed(self):
        with Process("-c", "import subprocess, sys; subprocess.Popen([sys.executable, sys.argv[1]]).wait()",
                     str(Path(__file__).resolve().parent / "conformance_sidecar.py"), listen=[],
                     environment={"MYELIN_SIDECAR_LISTEN": "unix:" + (path := f"/tmp/myelin-orphan-{os.getpid()}.sock")}) as parent, Worker(path) as worker:
            worker.ready()
            parent.process.send_signal(signal.SIGKILL)
            parent.process.wait()
            worker.until(lambda: worker.reader.draining)
            worker.close()
            self._until(lambda: not os.path.exists(path))
            self._until(lambda: not self._connects(path))

    def test_failed_loading_is_told_and_logged_and_leaves_with_1(self):
        script = "import sys; sys.path.insert(0, sys.argv[1])\nfrom myelin_sidecar import Model, serve\n" \
                 "class Broken(Model):\n    def load(self, context): raise FileNotFoundError('no file model.pt')\nserve(Broken())"
        with Process("-c", script, str(Path(__file__).resolve().parent.parent)) as sidecar, Worker(sidecar.path) as worker:
            worker.until(lambda: worker.reader.error)
            self.assertEqual(worker.reader.error["message"], "FileNotFoundError: no file model.pt")
            self.assertEqual(sidecar.process.wait(10), 1)
            self.assertIn("no file model.pt", sidecar.output())

    def test_wrong_addresses_say_what_is_right(self):
        for address in ["tcp:1", "unix:relative", "http://nowhere", "http+unix:x", "unix:/nonexistent/folder/s.sock", "unix:/" + "x" * 200]:
            with self.subTest(address), Process(listen=[address]) as sidecar:
                self.assertEqual(sidecar.process.wait(20), 2)
                self.assertNotIn("Traceback", sidecar.output())
                self.assertIn(address.partition(":")[2], sidecar.output())
        with Process(listen=[]) as sidecar:
            self.assertEqual(sidecar.process.wait(20), 2)
            self.assertIn("MYELIN_SIDECAR_LISTEN", sidecar.output())

    def test_two_addresses_serve_the_same_models(self):
        with tempfile.TemporaryDirectory() as folder, Process(listen=[f"unix:{folder}/a", f"http+unix:{folder}/b"]) as sidecar:
            with Worker(f"{folder}/a") as worker:
                worker.ready()
                self._until(lambda: self._get(f"{folder}/b", "/v2/health/ready").startswith(b"HTTP/1.1 200 OK\r\n"))  # one after the other
            sidecar.process.send_signal(signal.SIGTERM)
            self.assertEqual(sidecar.process.wait(20), 0)
            self.assertEqual(os.listdir(folder), [], "the sockets' files are gone")

    def _until(self, condition):
        end = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), end, "it did not come about in 20 seconds")
            time.sleep(0.02)

    @staticmethod
    def _get(path, target):
        with socket.socket(socket.AF_UNIX) as http:
            http.connect(path)
            http.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
            data = b""
            while got := http.recv(65536):
                data += got
            return data

    @staticmethod
    def _connects(path):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(path) == 0


class Package(unittest.TestCase):
    def test_the_package_imports_nothing_beyond_the_standard_library(self):
        code = "import sys; sys.path.insert(0, sys.argv[1]); import myelin_sidecar; print(*sorted(m.partition('.')[0] for m in sys.modules))"
        out = subprocess.run([sys.executable, "-S", "-c", code, str(Path(__file__).resolve().parent.parent)], capture_output=True, text=True, check=True,
                             env={**os.environ, "MYELIN_SIDECAR_NUMPY": "0"}, timeout=60).stdout
        foreign = set(out.split()) - set(sys.stdlib_module_names) - {"myelin_sidecar", "sitecustomize", "usercustomize", "apport_python_hook"} \
            if hasattr(sys, "stdlib_module_names") else set()
        self.assertEqual({name for name in foreign if not name.startswith("_")}, set())


if __name__ == "__main__":
    unittest.main()
