"""A sidecar on a real Unix socket, driven by the tests' worker."""
import os
import struct
import tempfile
import threading
import time
import unittest
from pathlib import Path

import worker as w
from running import in_background, running
from worker import Worker, fp32, int64, raw

from myelin_sidecar import BadInput, Failed, Model, Tensor, artifacts, model, tensors, wire
from myelin_sidecar.sockets import listen


@model(name="identity", concurrency=4)
def identity(call):
    return {name: call[name] for name in call}


@model(name="double", inputs=[("x", "FP32", [-1])], outputs=[("y", "FP32", [-1])])
def double(call):
    return {"y": Tensor.of("FP32", call.tensor("x").shape, [2 * v for v in call.tensor("x").values()])}


class Gate(Model):
    """Computes when the test says so."""

    name = "gate"

    def __init__(self, concurrency=1):
        self.concurrency = concurrency
        self.entered, self.opened, self.stopped = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)
        self.running = self.most = 0
        self.lock = threading.Lock()

    def infer(self, call):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.entered.release()
        try:
            while not self.opened.acquire(timeout=0.005):
                if call.cancelled:
                    self.stopped.release()
                    call.check()
        finally:
            with self.lock:
                self.running -= 1
        return {}


def error(answer):
    return answer.error and answer.error["code"]


class Calls(unittest.TestCase):
    def test_answer_brings_every_type_back_inline_and_in_the_ring(self):
        with running(identity) as sidecar, Worker(sidecar.path, ring=4 << 20) as worker:
            worker.ready()
            given = {}
            for kind in tensors.BY_NAME.values():
                data = os.urandom(60_000 * kind.size) if kind.size and kind.name != "BOOL" else bytes(60_000) if kind.size else tensors.pack(kind, ["ab", ""] * 6000)
                given[kind.name] = raw(kind.name, [2, len(data) // kind.size // 2] if kind.size else [12_000], data)
            given["scalar"], given["empty"], given["no text"] = raw("FP32", [], bytes(4)), raw("INT8", [3, 0], b""), raw("BYTES", [0], b"")
            for in_ring in [(), ("FP32", "BYTES", "UINT8")]:
                answer = worker.infer(0, given, in_ring=in_ring)
                self.assertIsNone(answer.error)
                self.assertEqual({n: (t.datatype, list(t.shape), bytes(t.data)) for n, t in answer.tensors.items()},
                                 {n: (t.datatype, list(t.shape), bytes(t.data)) for n, t in given.items()})
                self.assertIn("FP32", answer.ring)
                self.assertNotIn("scalar", answer.ring)

    def test_large_inline_results_come_in_frames_of_a_mebibyte(self):
        data = os.urandom(5 * wire.MAX_FRAME + 12_345)
        with running(identity) as sidecar, Worker(sidecar.path) as worker:
            answer = worker.ready().infer(0, {"a": raw("UINT8", [len(data)], data), "b": raw("UINT8", [3], b"abc")})
            self.assertEqual(bytes(answer.tensors["a"].data), data)
            self.assertEqual(bytes(answer.tensors["b"].data), b"abc")

    def test_full_ring_falls_back_to_inline_and_release_makes_room_again(self):
        with running(identity) as sidecar, Worker(sidecar.path, ring=1 << 20) as worker:
            worker.ready()
            data = os.urandom(700_000)
            held = worker.begin(0, {"x": raw("UINT8", [len(data)], data)})
            worker.until(lambda: held in worker.reader.done)  # not released yet
            self.assertEqual([t.ring for t in worker.reader.done[held].head.tensors], [True])
            second = worker.infer(0, {"x": raw("UINT8", [len(data)], data)})
            self.assertEqual((second.ring, bytes(second.tensors["x"].data)), ([], data))
            self.assertEqual(bytes(worker.wait(held).tensors["x"].data), data)
            self.assertEqual(worker.infer(0, {"x": raw("UINT8", [len(data)], data)}).ring, ["x"])

    def test_outputs_made_by_output_are_not_copied(self):
        places = []

        @model(name="fill")
        def fill(call):
            y, unused = call.output("y", "UINT8", [100_000]), call.output("unused", "UINT8", [100_000])
            places.append((y, unused))
            (y.data if isinstance(y, Tensor) else memoryview(y))[:] = b"\7" * 100_000
            return {"y": y}

        with running(fill) as sidecar, Worker(sidecar.path, ring=1 << 20) as worker:
            worker.ready()
            answer = worker.infer(0)
            self.assertEqual((answer.ring, bytes(answer.tensors["y"].data)), (["y"], b"\7" * 100_000))
            y = places[0][0]
            (y.data if isinstance(y, Tensor) else memoryview(y))[:1] = b"\x09"  # against the rules, to see that it is the ring's memory
            self.assertEqual(worker.map[answer.head.tensors[0].offset], 9)
            self.assertEqual([worker.infer(0).ring for _ in range(20)], [["y"]] * 20, "places that were not returned are free again")

    def test_an_output_returned_twice_is_sent_twice(self):
        @model(name="twice")
        def twice(call):
            y = call.output("y", "UINT8", [50_000])
            (y.data if isinstance(y, Tensor) else memoryview(y))[:] = b"\5" * 50_000
            return {"a": y, "b": y}

        with running(twice) as sidecar, Worker(sidecar.path, ring=1 << 20) as worker:
            answer = worker.ready().infer(0)
            self.assertEqual([bytes(answer.tensors[n].data) for n in "ab"], [b"\5" * 50_000] * 2)

    def test_inputs_cannot_be_written(self):
        @model(name="spoil")
        def spoil(call):
            x = call["x"]
            (x.data if isinstance(x, Tensor) else memoryview(x))[0] = 1
            return {}

        with running(spoil) as sidecar, Worker(sidecar.path, ring=1 << 20) as worker:
            answer = worker.ready().infer(0, {"x": raw("UINT8", [10_000], bytes(10_000))}, in_ring=("x",))
            self.assertEqual(error(answer), "failed")
            self.assertIn("TypeError", answer.error["message"])

    def test_tensors_that_do_not_fit_the_contract_are_named(self):
        with running(double) as sidecar, Worker(sidecar.path) as worker:
            worker.ready()
            for given, message in [({"x": int64(1)}, "input 'x' is INT64 [1], but model 'double' takes FP32 [-1]"), ({}, "misses the input 'x'"),
                                   ({"z": fp32(1.0), "x": fp32(1.0)}, "no input 'z'")]:
                answer = worker.infer(0, given)
                self.assertEqual(error(answer), "bad-input")
                self.assertIn(message, answer.error["message"])
            self.assertEqual(worker.infer(0, {"x": fp32(1.5)}).tensors["y"].tolist(), [3.0])

    def test_exceptions_of_a_model_become_named_errors(self):
        faults = {"a": (Failed("try again", retryable=True), "failed", True, "try again"), "b": (BadInput("too bright"), "bad-input", False, "too bright"),
                  "c": (KeyError("k"), "failed", False, "KeyError: 'k'"), "d": (MemoryError(), "out-of-memory", True, "out of memory"),
                  "e": (SystemExit(3), "failed", False, "SystemExit: 3"), "f": (ValueError("x" * 200_000), "failed", False, "ValueError: xxx"),
                  "g": (ValueError("\ud800"), "failed", False, "ValueError: ?")}

        @model(name="faulty")
        def faulty(call):
            raise faults[call.parameters["which"]][0]

        with running(faulty) as sidecar, Worker(sidecar.path) as worker:
            worker.ready()
            for which, (_, code, retryable, message) in faults.items():
                answer = worker.infer(0, parameters=wire.write_object({"which": which}))
                self.assertEqual((error(answer), answer.error["retryable"]), (code, retryable), which)
                self.assertTrue(answer.error["message"].startswith(message), answer.error["message"][:80])

    def test_parameters_and_time_reach_the_model(self):
        seen = []

        @model(name="see")
        def see(call):
            seen.append((call.parameters, call.remaining, list(call)))

        with running(see) as sidecar, Worker(sidecar.path) as worker:
            worker.ready()
            self.assertIsNone(worker.infer(0, time=60_000, parameters=b'{"a":[1]}').error)
            self.assertIsNone(worker.infer(0, time=2**64 - 1).error)
        self.assertEqual(seen[0][0], {"a": [1]})
        self.assertTrue(50 < seen[0][1] <= 60, seen)
        self.assertIsNone(seen[1][1])

    def test_progress_comes_in_order_before_the_answer(self):
        @model(name="steps")
        def steps(call):
            for step in range(300):
                call.progress(step + 1, 300, b"\xff\xd8" if step % 2 else None)
            call.progress(300, 300, bytes(70_000))  # too large: left out

        with running(steps) as sidecar, Worker(sidecar.path) as worker:
            answer = worker.ready().infer(0)
            self.assertEqual(answer.progress, [(n, 300, b"" if n % 2 else b"\xff\xd8") for n in range(1, 301)] + [(300, 300, b"")])

    def test_task_models_get_files_and_give_artifacts(self):
        @model(name="draw", task="text-to-image")
        def draw(call):
            return artifacts({"image-0.png": call.bytes("image") * 2}, {"prompt": call.json()["prompt"], "none": call.json("nothing")})

        with running(draw) as sidecar, Worker(sidecar.path) as worker:
            worker.ready()
            self.assertEqual(worker.reader.ready["models"][0]["task"], "text-to-image")
            answer = worker.infer(0, {"image": raw("UINT8", [2], b"ab"), "parameters": raw("UINT8", [16], b'{"prompt":"cat"}')})
            self.assertEqual({n: bytes(t.data) for n, t in answer.tensors.items()}, {"result": b'{"prompt": "cat", "none": {}}', "image-0.png": b"abab"})
            self.assertEqual(error(worker.infer(0, {"image": raw("UINT8", [1], b"a"), "parameters": raw("UINT8", [2], b"[]")})), "bad-input")

    def test_many_calls_at_once_over_one_connection_each_get_their_own_answer(self):
        with running(identity) as sidecar, Worker(sidecar.path, ring=1 << 20, max_calls=1000) as worker:
            worker.ready()
            sent = {}
            for round_ in range(5):
                numbers = []
                for i in range(200):
                    data = struct.pack("<I", round_ * 1000 + i) * (1 + i * 37 % 3000)
                    number = worker.begin(0, {"x": raw("UINT8", [len(data)], data)})
                    sent[number] = data
                    numbers.append(number)
                for number in reversed(numbers):
                    self.assertEqual(bytes(worker.wait(number).tensors["x"].data), sent[number])


class Turns(unittest.TestCase):
    def test_no_more_calls_compute_than_the_model_allows(self):
        gate = Gate(concurrency=3)
        with running(gate) as sidecar, Worker(sidecar.path) as worker:
            worker.ready()
            numbers = [worker.begin(0) for _ in range(10)]
            for _ in range(3):
                gate.entered.acquire(timeout=10)
            self.assertFalse(gate.entered.acquire(timeout=0.05))
            for _ in numbers:
                gate.opened.release()
            self.assertTrue(all(worker.wait(number).error is None for number in numbers))
            self.assertEqual(gate.most, 3)

    def test_pings_are_answered_while_a_model_computes_and_loads(self):
        gate = Gate()
        with running(gate, load=False) as sidecar, Worker(sidecar.path) as worker:
            worker.send(wire.PING, 0, b"loading!")
            worker.until(lambda: worker.reader.pongs == [b"loading!"])
            sidecar.load()
            number = worker.ready().begin(0)
            gate.entered.acquire(timeout=10)
            worker.send(wire.PING, 0, b"inferred")
            worker.until(lambda: worker.reader.pongs == [b"loading!", b"inferred"])
            self.assertNotIn(number, worker.reader.done)
            gate.opened.release()
            self.assertIsNone(worker.wait(number).error)

    def test_cancel_stops_a_running_call_a_waiting_one_and_one_that_is_being_sent(self):
        gate = Gate()
        with running(gate) as sidecar, Worker(sidecar.path) as worker:
            worker.ready()
            first, second = worker.begin(0), worker.begin(0)
            gate.entered.acquire(timeout=10)
            third = worker.begin(0, {"x": raw("UINT8", [10], bytes(10))}, data=False)
            for number in (third, second, first):
                worker.send(wire.CANCEL, number)
                self.assertEqual(error(worker.wait(number)), "cancelled")
            self.assertTrue(gate.stopped.acquire(timeout=10), "the model has seen it")
            self.assertFalse(gate.entered.acquire(timeout=0.05), "the waiting one never began")
            worker.send(wire.CANCEL, first)  # crossed: ignored
            worker.send(wire.DATA, third, b"late")  # crossed: skipped
            gate.opened.release()
            self.assertIsNone(worker.infer(0).error)

    def test_time_that_runs_out_ends_waiting_and_running_calls(self):
        gate = Gate()
        with running(gate) as sidecar, Worker(sidecar.path) as worker:
            worker.ready()
            first = worker.begin(0)
            gate.entered.acquire(timeout=10)
            self.assertEqual(error(worker.infer(0, time=30)), "deadline")
            gate.opened.release()
            self.assertIsNone(worker.wait(first).error)
            self.assertEqual(error(worker.infer(0, time=30)), "deadline")

    def test_more_calls_than_agreed_are_refused(self):
        gate = Gate()
        with running(gate) as sidecar, Worker(sidecar.path, max_calls=2) as worker:
            worker.ready()
            open_calls = [worker.begin(0), worker.begin(0)]
            answer = worker.infer(0, {"x": raw("UINT8", [2_000_000], bytes(2_000_000))})
            self.assertEqual((error(answer), answer.error["retryable"]), ("overloaded", True))
            for number in open_calls:
                gate.opened.release()
                self.assertIsNone(worker.wait(number).error)

    def test_too_large_calls_and_results_are_refused_alone(self):
        @model(name="big")
        def big(call):
            return {"y": bytes(int(call.tensor("n").values()[0]))}

        with running(big) as sidecar, Worker(sidecar.path, max_call_bytes=1000) as worker:
            worker.ready()
            self.assertEqual(error(worker.infer(0, {"x": raw("UINT8", [1001], bytes(1001))})), "too-large")
            self.assertEqual(error(worker.infer(0, {"n": int64(1001)})), "too-large")
            self.assertEqual(len(worker.infer(0, {"n": int64(1000)}).tensors["y"].data), 1000)

    def test_a_second_worker_has_calls_of_its_own(self):
        gate = Gate()
        with running(gate, identity) as sidecar, Worker(sidecar.path) as one, Worker(sidecar.path) as two:
            number = one.ready().begin(0)
            gate.entered.acquire(timeout=10)
            self.assertEqual(two.ready().infer(1, {"x": fp32(1.0)}).tensors["x"].tolist(), [1.0])
            waiting = two.begin(0)
            gate.opened.release()
            self.assertIsNone(one.wait(number).error)
            gate.opened.release()
            self.assertIsNone(two.wait(waiting).error)


class Ends(unittest.TestCase):
    def test_drain_of_the_sidecar_lets_calls_finish_and_refuses_new_ones(self):
        gate = Gate()
        with running(gate) as sidecar, Worker(sidecar.path) as worker:
            number = worker.ready().begin(0)
            gate.entered.acquire(timeout=10)
            draining = in_background(sidecar.drain, 10)
            worker.until(lambda: worker.reader.draining)
            answer = worker.infer(0)
            self.assertEqual((error(answer), answer.error["retryable"]), ("draining", True))
            self.assertTrue(draining.is_alive())
            gate.opened.release()
            self.assertIsNone(worker.wait(number).error)
            worker.close()
            draining.join(10)
            self.assertFalse(draining.is_alive())

    def test_drain_of_the_worker_closes_when_all_is_answered_and_released(self):
        with running(identity) as sidecar, Worker(sidecar.path, ring=1 << 20) as worker:
            worker.ready()
            number = worker.begin(0, {"x": raw("UINT8", [100_000], bytes(100_000))})
            worker.send(wire.DRAIN)
            worker.until(lambda: number in worker.reader.done)
            worker.send(wire.PING, 0, b"open yet")
            worker.until(lambda: worker.reader.pongs)
            worker.wait(number)  # releases
            with self.assertRaises(EOFError):
                worker.read()

    def test_a_worker_that_goes_cancels_its_calls_and_gives_all_memory_back(self):
        gate = Gate()
        with running(gate, identity) as sidecar:
            for _ in range(20):
                with Worker(sidecar.path, ring=8 << 20) as worker:
                    worker.ready().begin(0)
                    gate.entered.acquire(timeout=10)
                    held = worker.begin(1, {"x": raw("UINT8", [1 << 20], bytes(1 << 20))})
                    worker.until(lambda: held in worker.reader.done)
                worker.map.close()
                self.assertTrue(gate.stopped.acquire(timeout=10))
            deadline = time.monotonic() + 10
            while (mapped := Path("/proc/self/maps").read_text().count("myelin-testring-")) and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEqual(mapped, 0, "rings are unmapped with their connection")
            self.assertEqual(sidecar.listeners[0]._connections, [])

    def test_end_of_stream_at_every_byte_of_a_call_harms_nobody(self):
        stream = wire.frame(wire.INFER, 1, wire.write_head(0, 0, 3, [w.HeadTensor("x", tensors.BY_NAME["UINT8"], (3,), False, 0, 3)]))
        stream += wire.frame(wire.DATA, 1, b"abc") + wire.frame(wire.CANCEL, 1) + wire.frame(wire.PING, 0, bytes(8))
        with running(identity) as sidecar, Worker(sidecar.path) as witness:
            witness.ready()
            for cut in range(len(stream)):
                with Worker(sidecar.path) as worker:
                    worker.ready().socket.sendall(stream[:cut])
            self.assertEqual(witness.infer(0, {"x": fp32(1.0)}).tensors["x"].tolist(), [1.0])

    def test_a_broken_stream_closes_only_its_connection(self):
        with running(identity) as sidecar, Worker(sidecar.path) as witness, Worker(sidecar.path) as worker:
            worker.ready().socket.sendall(os.urandom(64).replace(b"\0", b"\1"))
            with self.assertRaises(EOFError):
                while True:
                    worker.read()
            self.assertEqual(worker.reader.error["code"], "bad-frame")
            self.assertEqual(witness.ready().infer(0, {"x": fp32(1.0)}).tensors["x"].tolist(), [1.0])

    def test_a_worker_of_another_version_is_told_the_range(self):
        with running(identity) as sidecar, Worker(sidecar.path, versions=(2, 9)) as worker:
            self.assertEqual(worker.reader.error["code"], "version-mismatch")
            self.assertIn("version 1, the worker 2 to 9", worker.reader.error["message"])

    def test_a_slow_reader_does_not_hold_others(self):
        with running(identity) as sidecar, Worker(sidecar.path) as slow, Worker(sidecar.path) as quick:
            data = bytes(8 << 20)
            slow.ready().begin(0, {"x": raw("UINT8", [len(data)], data)})  # and does not read
            self.assertEqual(quick.ready().infer(0, {"x": fp32(1.0)}).tensors["x"].tolist(), [1.0])

    def test_ring_that_cannot_be_mapped_means_inline(self):
        with running(identity) as sidecar:
            worker = Worker(sidecar.path, greet=False)
            ring = {"path": "/dev/shm/myelin-none", "bytes": 128, "inputs": {"offset": 0, "bytes": 64}, "outputs": {"offset": 64, "bytes": 64}}
            with worker:
                worker.send(wire.HELLO, 0, b"MYLN\1\0\1\0" + wire.write_object({"maxCalls": 4, "maxCallBytes": 100_000, "ring": ring}))
                worker.ready()
                self.assertFalse(worker.reader.hello["ring"])
                self.assertEqual(worker.infer(0, {"x": raw("UINT8", [9000], bytes(9000))}).ring, [])


class Loading(unittest.TestCase):
    def test_progress_of_loading_and_the_contract_after_it(self):
        class Late(Model):
            def load(self, context):
                for step in range(3):
                    context.progress(step + 1, 3)
                self.name, self.inputs = "late", [("x", "FP32", [-1])]

            def infer(self, call):
                return {}

        with running(Late(), load=False) as sidecar, Worker(sidecar.path) as worker:
            worker.send(wire.PING, 0, bytes(8))
            worker.until(lambda: worker.reader.pongs)  # the server knows the connection
            sidecar.load()
            worker.ready()
            self.assertEqual(worker.reader.loading, [(1, 3), (2, 3), (3, 3)])
            self.assertEqual(worker.reader.ready["models"], [{
                "name": "late", "version": "1", "task": None, "concurrency": 1, "progress": True, "cancel": True,
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}], "outputs": []}])

    def test_failure_of_loading_is_told_before_and_after(self):
        class Broken(Model):
            def load(self, context):
                raise FileNotFoundError("no file model.pt")

        with running(Broken(), load=False) as sidecar, Worker(sidecar.path) as early:
            self.assertFalse(sidecar.load())
            with Worker(sidecar.path) as late:
                for worker in (early, late):
                    worker.until(lambda: worker.reader.error)
                    self.assertEqual((worker.reader.error["code"], worker.reader.error["message"]), ("load-failed", "FileNotFoundError: no file model.pt"))
                    with self.assertRaises(EOFError):
                        worker.read()


class Listening(unittest.TestCase):
    def test_a_socket_that_nobody_listens_on_is_replaced_and_a_live_one_is_not(self):
        with running(identity) as sidecar:
            with self.assertRaises(OSError):
                listen(sidecar.path)
        with tempfile.TemporaryDirectory() as folder:
            listen(f"{folder}/s").close()  # leaves its file
            listen(f"{folder}/s").close()
            with open(f"{folder}/file", "w"), self.assertRaises(OSError):
                listen(f"{folder}/file")
            self.assertTrue(os.path.exists(f"{folder}/file"))
            with self.assertRaisesRegex(OSError, "107 bytes"):
                listen(f"{folder}/{'x' * 120}")


if __name__ == "__main__":
    unittest.main()
