"""The Open Inference Protocol v2, over real connections with the standard library's client and by hand."""
import base64
import http.client
import json
import os
import random
import socket
import struct
import threading
import time
import unittest

from running import running
from test_uds import Gate, double, identity
from worker import fp32

from myelin_sidecar import BadInput, Failed, Model, Tensor, model, tensors
from myelin_sidecar.uds import Limits


class UnixClient(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


class Client:
    """Keeps one connection."""

    def __init__(self, sidecar):
        self.connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=20) if sidecar.port else UnixClient(sidecar.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def __call__(self, method, path, body=None, **headers):
        self.connection.request(method, path, body, {k.replace("_", "-"): str(v) for k, v in headers.items()})
        answer = self.connection.getresponse()
        data = answer.read()
        self.headers = answer.headers
        length = answer.headers.get("Inference-Header-Content-Length")
        if length is not None:
            return answer.status, json.loads(data[:int(length)]), data[int(length):]
        return answer.status, json.loads(data) if data else None, b""

    def infer(self, name, inputs, outputs=None, parameters=None, request_id=None, binary=True):
        """`inputs`: name → Tensor, as bytes."""
        request = {"inputs": [{"name": n, "datatype": t.datatype, "shape": list(t.shape), "parameters": {"binary_data_size": len(t.data)}} for n, t in inputs.items()],
                   "parameters": {"binary_data_output": binary, **(parameters or {})}}
        if outputs is not None:
            request["outputs"] = outputs
        if request_id is not None:
            request["id"] = request_id
        head = json.dumps(request).encode()
        return self("POST", f"/v2/models/{name}/infer", head + b"".join(bytes(t.data) for t in inputs.values()), Inference_Header_Content_Length=len(head))

    def json(self, name, inputs, **more):
        return self("POST", f"/v2/models/{name}/infer", json.dumps({"inputs": inputs, **more}))


def item(name, datatype, shape, data):
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


class Metadata(unittest.TestCase):
    def test_server_model_health_index_and_statistics_on_both_sockets(self):
        for transport in ("http", "http+unix"):
            with self.subTest(transport), running(double, identity, transport=transport) as sidecar, Client(sidecar) as client:
                status, server, _ = client("GET", "/v2")
                self.assertEqual((status, server["name"]), (200, "myelin-python"))
                self.assertLessEqual({"binary_tensor_data", "myelin_progress"}, set(server["extensions"]))
                for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/double/ready", "/v2/models/double/versions/1/ready"):
                    self.assertEqual(client("GET", path), (200, None, b""), path)
                self.assertEqual(client("GET", "/v2/models/double/versions/1")[1], {
                    "name": "double", "versions": ["1"], "platform": "myelin_python", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
                    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}], "parameters": {"myelin_concurrency": 1, "myelin_progress": True}})
                self.assertEqual(client("POST", "/v2/repository/index", "{}")[1], [{"name": n, "version": "1", "state": "READY", "reason": ""} for n in ("double", "identity")])
                client.infer("double", {"x": fp32(1.0)})
                client.infer("double", {"z": fp32(1.0)})
                stats = client("GET", "/v2/models/double/stats")[1]["model_stats"][0]
                self.assertEqual((stats["inference_count"], stats["inference_stats"]["success"]["count"]), (1, 1))
                self.assertGreater(stats["inference_stats"]["compute_infer"]["ns"], 0)
                self.assertEqual(len(client("GET", "/v2/models/stats")[1]["model_stats"]), 2)

    def test_what_is_not_there_has_its_status_and_the_connection_goes_on(self):
        with running(double, transport="http") as sidecar, Client(sidecar) as client:
            for method, path, status in [("GET", "/", 404), ("GET", "/v3", 404), ("GET", "/v2/models/nope", 404), ("POST", "/v2/models/nope/infer", 404),
                                         ("GET", "/v2/models/double/versions/2", 404), ("GET", "/v2/models/double/infer", 405), ("POST", "/v2", 405),
                                         ("GET", "/v2/models/double/other", 404), ("POST", "/v2/repository/models/double/load", 501)]:
                with self.subTest(path):
                    got, body, _ = client(method, path, "x" * 1000 if method == "POST" else None)
                    self.assertEqual((got, list(body)[0]), (status, "error"))
            self.assertEqual(client("GET", "/v2/health/live", Origin="http://evil.example")[0], 403)
            self.assertEqual(client("GET", "/v2/health/live")[0], 200)

    def test_loading_and_failed_loading_are_not_ready(self):
        class Broken(Model):
            name = "broken"

            def load(self, context):
                raise OSError("no weights")

        with running(Broken(), transport="http", load=False) as sidecar, Client(sidecar) as client:
            self.assertEqual([client("GET", p)[0] for p in ("/v2/health/live", "/v2/health/ready", "/v2/models/broken")], [200, 503, 503])
            sidecar.load()
            self.assertEqual(client("GET", "/v2/health/ready")[:2], (500, {"error": "OSError: no weights", "code": "load-failed"}))
            self.assertEqual(client("POST", "/v2/models/broken/infer", "{}")[0], 503)


class Infer(unittest.TestCase):
    def test_binary_tensors_of_every_type_come_back(self):
        with running(identity, transport="http+unix") as sidecar, Client(sidecar) as client:
            given = {"odd": Tensor.of("UINT8", [3], [1, 2, 3])}  # those after it are not aligned
            for kind in tensors.BY_NAME.values():
                values = [b"a", b"\xff\0"] if kind.name == "BYTES" else [True, False] if kind.name == "BOOL" else [1, 2]
                given[kind.name] = Tensor.of(kind.name, [2, 1], values)
            given["empty"], given["scalar"] = Tensor.of("FP32", [0, 3], []), Tensor.of("FP64", [], [0.1])
            status, answer, binary = client.infer("identity", given, request_id="ünique", parameters={"own": 1})
            self.assertEqual((status, answer["model_name"], answer["model_version"], answer["id"]), (200, "identity", "1", "ünique"))
            self.assertEqual([(o["name"], o["datatype"], o["shape"], o["parameters"]["binary_data_size"]) for o in answer["outputs"]],
                             [(n, t.datatype, list(t.shape), len(t.data)) for n, t in given.items()])
            self.assertEqual(binary, b"".join(bytes(t.data) for t in given.values()))
            self.assertEqual(client.headers["Content-Type"], "application/octet-stream")
            self.assertGreater(answer["parameters"]["myelin_compute_ns"], 0)

    def test_json_tensors_of_every_type_come_back_nested_or_flat(self):
        with running(identity, transport="http") as sidecar, Client(sidecar) as client:
            values = {"BOOL": [True, False], "UINT8": [0, 255], "UINT16": [0, 65535], "UINT32": [0, 2**32 - 1], "UINT64": [0, 2**64 - 1], "INT8": [-128, 127],
                      "INT16": [-2**15, 1], "INT32": [-2**31, 1], "INT64": [-2**63, 2**63 - 1], "FP16": [0.5, -2], "FP32": [0.5, 1e30], "FP64": [0.1, -1e300], "BYTES": ["", "grüße"]}
            for datatype, data in values.items():
                for nested in (data, [[data[0]], [data[1]]]):
                    status, answer, _ = client.json("identity", [item("x", datatype, [2, 1], nested)])
                    self.assertEqual((status, answer.get("error")), (200, None), datatype)
                    out = answer["outputs"][0]
                    if datatype != "FP32":
                        self.assertEqual(out["data"], data)
                    self.assertEqual((out["shape"], out["datatype"]), ([2, 1], datatype))
            self.assertEqual(client.json("identity", [item("x", "FP32", [], [7])])[1]["outputs"][0], item("x", "FP32", [], [7.0]))
            self.assertEqual(client.json("identity", [])[1]["outputs"], [])

    def test_outputs_are_chosen_one_by_one_as_json_or_bytes(self):
        with running(identity, transport="http") as sidecar, Client(sidecar) as client:
            given = {n: Tensor.of("UINT8", [1], [i]) for i, n in enumerate("abc")}
            status, answer, binary = client.infer("identity", given, binary=False, outputs=[{"name": "c", "parameters": {"binary_data": True}}, {"name": "a"}])
            self.assertEqual((status, binary), (200, b"\2"))
            self.assertEqual([(o["name"], o.get("data")) for o in answer["outputs"]], [("c", None), ("a", [0])])
            self.assertEqual(client.infer("identity", given, outputs=[{"name": "z"}])[:2], (400, {"error": "there is no output 'z'; there are a, b, c", "code": "bad-input"}))

    def test_raw_request_is_the_only_input(self):
        @model(name="words", inputs=[("text", "BYTES", [-1])])
        def words(call):
            return {"y": call.tensor("text")}

        with running(double, identity, words, transport="http") as sidecar, Client(sidecar) as client:
            status, answer, binary = client("POST", "/v2/models/double/infer", struct.pack("<2f", 1, 2), Inference_Header_Content_Length=0)
            self.assertEqual((status, answer["outputs"][0]["shape"], binary), (200, [2], struct.pack("<2f", 2, 4)))
            self.assertEqual(client("POST", "/v2/models/words/infer", b"hello", Inference_Header_Content_Length=0)[2], b"\5\0\0\0hello")
            self.assertEqual(client("POST", "/v2/models/double/infer", b"abc", Inference_Header_Content_Length=0)[0], 400)
            self.assertEqual(client("POST", "/v2/models/identity/infer", b"abc", Inference_Header_Content_Length=0)[0], 400)

    def test_wrong_requests_name_the_field(self):
        good = item("x", "FP32", [2], [1, 2])
        cases = [("{", "no JSON"), ("[]", "no JSON object"), ('{"inputs":[NaN]}', "NaN"), ("{}", "inputs is a list"), ({"inputs": [5]}, "inputs[0] is no object"),
                 ({"inputs": [{**good, "name": ""}]}, "inputs[0].name"), ({"inputs": [{**good, "datatype": "FP31"}]}, "datatype is 'FP31'"),
                 ({"inputs": [{**good, "shape": [-1]}]}, "shape is a list"), ({"inputs": [{**good, "shape": [True]}]}, "shape is a list"),
                 ({"inputs": [{**good, "shape": [2**40, 2**40]}]}, "more elements than can be counted"), ({"inputs": [{**good, "data": [1]}]}, "have 1"),
                 ({"inputs": [{**good, "data": [[1], 2]}]}, "unevenly"), ({"inputs": [{**good, "data": ["a", "b"]}]}, "are no FP32"), ({"inputs": [{**good, "data": None}]}, "neither data"),
                 ({"inputs": [{**good, "datatype": "UINT8", "data": [1, 300]}]}, "are no UINT8"), ({"inputs": [{**good, "data": [True, 1]}]}, "are no FP32"),
                 ({"inputs": [good, good]}, "two inputs are named 'x'"), ({"inputs": [{**good, "parameters": {"binary_data_size": 8}}]}, "binary_data_size is 8, but 0"),
                 ({"inputs": [{**good, "parameters": []}]}, "parameters is no object"), ({"inputs": [good], "id": 5}, "id is a text"), ({"inputs": [good], "outputs": {}}, "outputs is a list"),
                 ({"inputs": [good], "outputs": [{}]}, "outputs[0].name"), ({"inputs": [good], "parameters": {"binary_data_output": 1}}, "binary_data_output is true or false"),
                 ({"inputs": [good], "parameters": {"myelin_call": 5}}, "myelin_call"), ({"inputs": [{**good, "name": "z"}]}, "no input 'z'"),
                 ({"inputs": [{**good, "shape": [1, 2]}]}, "takes FP32 [-1]"), ("[" * 100_000, "no JSON"), ({"inputs": [good] * 65}, "at most 64")]
        with running(double, transport="http") as sidecar, Client(sidecar) as client:
            for body, message in cases:
                with self.subTest(message):
                    status, answer, _ = client("POST", "/v2/models/double/infer", body if isinstance(body, str) else json.dumps(body))
                    self.assertEqual(status, 400, answer)
                    self.assertIn(message, answer["error"])
            self.assertEqual(client.json("double", [{**good, "parameters": {"shared_memory_region": "r"}}])[0], 501)
            self.assertEqual(client("POST", "/v2/models/double/infer", "{}", Content_Encoding="gzip")[0], 501)
            for length, message in [(5000, "but the body has 2"), ("x", "is a number")]:
                self.assertIn(message, client("POST", "/v2/models/double/infer", "{}", Inference_Header_Content_Length=length)[1]["error"])
            self.assertEqual(client.json("double", [good])[1]["outputs"][0]["data"], [2.0, 4.0])

    def test_endings_have_their_status(self):
        faults = {"bad": (BadInput("too bright"), 400), "once": (Failed("try again", retryable=True), 503), "bug": (ValueError("bug"), 500), "memory": (MemoryError(), 503)}

        @model(name="faulty")
        def faulty(call):
            raise faults[call.parameters["which"]][0]

        @model(name="strange")
        def strange(call):
            return {"nan": Tensor.of("FP32", [1], [float("nan")])} if call.parameters.get("nan") else {"bytes": Tensor.of("BYTES", [1], [b"\xff"])}

        with running(faulty, strange, transport="http") as sidecar, Client(sidecar) as client:
            for which, (_, status) in faults.items():
                self.assertEqual(client.json("faulty", [], parameters={"which": which})[0], status, which)
            for parameters in ({"nan": True}, {}):
                status, answer, _ = client.json("strange", [], parameters=parameters)
                self.assertEqual(status, 500)
                self.assertIn("binary_data", answer["error"])
                self.assertEqual(client.infer("strange", {}, parameters=parameters)[0], 200)

    def test_limits_hold_before_memory_is_taken(self):
        with running(identity, transport="http", limits=Limits(calls=2, call_bytes=1000)) as sidecar, Client(sidecar) as client:
            self.assertEqual(client.infer("identity", {"x": Tensor.of("UINT8", [1000], [1] * 1000)})[0], 200)
            self.assertEqual(client.infer("identity", {"x": Tensor.of("UINT8", [1001], [1] * 1001)})[0], 413)
            raw = socket.create_connection(("127.0.0.1", sidecar.port), 10)
            raw.sendall(b"POST /v2/models/identity/infer HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n{")
            self.assertIn(b" 413 ", raw.recv(1000).split(b"\r\n")[0])
            raw.close()

    def test_large_tensors_go_both_ways(self):
        with running(identity, transport="http+unix") as sidecar, Client(sidecar) as client:
            data = os.urandom(20 << 20)
            status, _, binary = client.infer("identity", {"x": Tensor("x", tensors.BY_NAME["UINT8"], [len(data)], memoryview(data))})
            self.assertEqual((status, binary == data), (200, True))


class Wire(unittest.TestCase):
    """HTTP itself, byte by byte."""

    def talk(self, sidecar, *pieces, whole=True):
        """Sends pieces and reads until the sidecar closes."""
        with socket.create_connection(("127.0.0.1", sidecar.port), 10) as raw:
            for piece in pieces:
                raw.sendall(piece)
                time.sleep(0.01)
            if whole:
                raw.shutdown(socket.SHUT_WR)
            data = b""
            while got := raw.recv(65536):
                data += got
            return data

    def test_pieces_pipelines_chunks_and_expectations(self):
        body = json.dumps({"inputs": [item("x", "FP32", [1], [2])]}).encode()
        post = b"POST /v2/models/double/infer HTTP/1.1\r\nHost: a\r\n"
        with running(double, transport="http") as sidecar:
            one_by_one = post + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
            self.assertIn(b'"data":[4.0]', self.talk(sidecar, *[one_by_one[i:i + 1] for i in range(0, 60)], one_by_one[60:], whole=False))
            pipeline = (post + b"Content-Length: %d\r\n\r\n" % len(body) + body) * 2 + b"GET /v2 HTTP/1.0\r\n\r\n"
            self.assertEqual(self.talk(sidecar, pipeline, whole=False).count(b"HTTP/1.1 200 OK"), 3)
            chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7)) + b"0\r\nTrailer: x\r\n\r\n"
            self.assertIn(b'"data":[4.0]', self.talk(sidecar, post + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks, whole=False))
            with socket.create_connection(("127.0.0.1", sidecar.port), 10) as raw:
                raw.sendall(post + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
                self.assertEqual(raw.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
                raw.sendall(body)
                self.assertIn(b'"data":[4.0]', raw.makefile("rb").read())

    def test_broken_requests_are_refused_and_closed(self):
        with running(double, transport="http") as sidecar:
            for request, status in [(b"nonsense\r\n\r\n", 400), (b"GET /v2 HTTP/2.0\r\n\r\n", 505), (b"GET /v2 HTTP/1.1\r\nno colon\r\n\r\n", 400), (b"GET /v2 HTTP/1.1\r\nA : b\r\n\r\n", 400),
                                    (b"GET /v2 HTTP/1.1\r\nA: " + b"x" * 40_000, 431), (b"POST /v2 HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
                                    (b"POST /v2 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
                                    (b"POST /v2 HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400), (b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
                                    (b"POST /v2/models/double/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400), (b"GET /v2 HTTP/1.1\r\nExpect: tea\r\n\r\n", 417)]:
                with self.subTest(request[:60]):
                    self.assertTrue(self.talk(sidecar, request, whole=False).startswith(b"HTTP/1.1 %d " % status))
            with Client(sidecar) as client:
                self.assertEqual(client("GET", "/v2")[0], 200)

    def test_garbage_harms_nobody(self):
        body = json.dumps({"inputs": [item("x", "FP32", [1], [2])], "parameters": {"binary_data_output": True}}).encode()
        good = b"POST /v2/models/double/infer HTTP/1.1\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % (len(body), len(body)) + body
        with running(double, transport="http") as sidecar:
            for seed in range(600):
                dice = random.Random(seed)
                bent = bytearray(good)
                for _ in range(dice.choice([1, 2, 10])):
                    bent[dice.randrange(len(bent))] = dice.choice([0, 10, 13, 32, 48, 57, 255, dice.randrange(256)])
                with socket.create_connection(("127.0.0.1", sidecar.port), 10) as raw:
                    raw.sendall(bent[:dice.choice([len(bent), dice.randrange(len(bent))])])
                    raw.shutdown(socket.SHUT_WR)
                    try:
                        while raw.recv(65536):
                            pass
                    except ConnectionResetError:
                        pass  # bytes after a request that ended the connection
            with Client(sidecar) as client:
                self.assertEqual(client.infer("double", {"x": fp32(1.0)})[0], 200)


class Life(unittest.TestCase):
    def test_hanging_up_cancels_running_and_waiting_calls(self):
        gate = Gate()
        with running(gate, transport="http") as sidecar:
            running_call, waiting_call = Client(sidecar), Client(sidecar)
            for client in (running_call, waiting_call):
                client.connection.request("POST", "/v2/models/gate/infer", '{"inputs":[]}')
            gate.entered.acquire(timeout=10)
            running_call.connection.close()
            waiting_call.connection.close()
            self.assertTrue(gate.stopped.acquire(timeout=10), "the model has seen it")
            with Client(sidecar) as client:
                gate.opened.release()
                self.assertEqual(client.json("gate", [])[0], 200)
            self._until(lambda: not sidecar.listeners[0]._calls)

    def test_timeout_of_the_request_is_a_deadline(self):
        with running(Gate(), transport="http") as sidecar, Client(sidecar) as client:
            status, answer, _ = client.json("gate", [], parameters={"timeout": 30_000})
            self.assertEqual((status, answer["code"]), (503, "deadline"))

    def test_more_calls_than_allowed_and_draining_are_503(self):
        gate = Gate()
        with running(gate, transport="http", limits=Limits(calls=1)) as sidecar, Client(sidecar) as client, Client(sidecar) as other:
            client.connection.request("POST", "/v2/models/gate/infer", '{"inputs":[]}')
            gate.entered.acquire(timeout=10)
            self.assertEqual(other.json("gate", [])[:2], (503, {"error": "1 calls are open, which is as many as allowed", "code": "overloaded"}))
            draining = threading.Thread(target=sidecar.drain, args=(10,))
            draining.start()
            self._until(lambda: sidecar.listeners[0].phase == "draining")
            self.assertEqual(other.json("gate", [])[1]["code"], "draining")
            self.assertEqual(other("GET", "/v2/health/ready")[0], 503)
            gate.opened.release()
            self.assertEqual(client.connection.getresponse().status, 200)
            draining.join(10)
            self.assertFalse(draining.is_alive())

    def test_many_connections_get_their_own_answers(self):
        with running(identity, transport="http+unix") as sidecar:
            wrong = []

            def ask(index):
                with Client(sidecar) as client:
                    for i in range(20):
                        data = struct.pack("<I", index * 1000 + i)
                        if client.infer("identity", {"x": Tensor("x", tensors.BY_NAME["UINT8"], [4], memoryview(data))})[2] != data:
                            wrong.append(index)

            threads = [threading.Thread(target=ask, args=(n,)) for n in range(32)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            self.assertEqual(wrong, [])

    def _until(self, condition):
        end = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)


class Progress(unittest.TestCase):
    def follow(self, sidecar, name):
        """Starts following; the events come with `read`."""
        raw = socket.create_connection(("127.0.0.1", sidecar.port), 20)
        raw.sendall(b"GET /v2/myelin/calls/%s HTTP/1.1\r\nHost: a\r\n\r\n" % name.encode())
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        return raw, answer

    def test_progress_is_followed_on_another_connection_begun_before_or_after(self):
        gate = Gate()

        class Steps(Model):
            name = "steps"

            def infer(self, call):
                gate.opened.acquire(timeout=10)
                for step in range(3):
                    call.progress(step + 1, 3, b"\xff\xd8" if step == 1 else None)
                return {}

        with running(Steps(), transport="http") as sidecar, Client(sidecar) as client:
            for before in (True, False):
                events = self.follow(sidecar, f"call-{before}") if before else None
                client.connection.request("POST", "/v2/models/steps/infer", json.dumps({"inputs": [], "parameters": {"myelin_call": f"call-{before}"}}))
                events = events or self.follow(sidecar, f"call-{before}")
                gate.opened.release()
                raw, answer = events
                self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/event-stream"))
                text = answer.read().decode()
                self.assertEqual([json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")],
                                 [{"step": 1, "steps": 3, "preview": None}, {"step": 2, "steps": 3, "preview": base64.b64encode(b"\xff\xd8").decode()},
                                  {"step": 3, "steps": 3, "preview": None}])
                self.assertEqual(text.count("event: progress\ndata: "), 3)
                self.assertEqual(json.loads(client.connection.getresponse().read())["outputs"], [])
                raw.close()
            self.assertEqual(sidecar.listeners[0]._followed, {})

    def test_a_call_name_in_use_is_refused(self):
        gate = Gate(concurrency=2)
        with running(gate, transport="http") as sidecar, Client(sidecar) as one, Client(sidecar) as two:
            one.connection.request("POST", "/v2/models/gate/infer", '{"inputs":[],"parameters":{"myelin_call":"a"}}')
            gate.entered.acquire(timeout=10)
            self.assertEqual(two.json("gate", [], parameters={"myelin_call": "a"})[0], 400)
            raw, _ = self.follow(sidecar, "a")
            self.assertEqual(two("GET", "/v2/myelin/calls/a")[0], 400)
            gate.opened.release()
            self.assertEqual(one.connection.getresponse().status, 200)
            raw.close()


if __name__ == "__main__":
    unittest.main()
