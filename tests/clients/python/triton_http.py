"""Drives a sidecar with the official Open Inference Protocol client.

    PYTHONPATH=.cache/clients python3.11 tests/clients/python/triton_http.py 127.0.0.1:9000

The sidecar serves the models of the conformance set: identity, double, sleep, fail. Ends with 0 and one line, or with the first
check that does not hold.
"""
import sys
import threading
import time
import urllib.request

import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

checks = 0


def check(truth, what):
    global checks
    assert truth, what
    checks += 1


def refused(call, status, words):
    try:
        call()
    except InferenceServerException as fault:
        check(fault.status() == status, f"{fault.status()} and not {status}: {fault}")
        check(words in fault.message(), f"'{words}' is not in: {fault}")
    else:
        raise AssertionError(f"was not refused with {status} {words}")


def tensor(name, array, binary, datatype=None):
    value = http.InferInput(name, list(array.shape), datatype or NAMES[array.dtype.type])
    value.set_data_from_numpy(array, binary_data=binary)
    return value


NAMES = {np.bool_: "BOOL", np.uint8: "UINT8", np.uint16: "UINT16", np.uint32: "UINT32", np.uint64: "UINT64", np.int8: "INT8", np.int16: "INT16",
         np.int32: "INT32", np.int64: "INT64", np.float16: "FP16", np.float32: "FP32", np.float64: "FP64", np.object_: "BYTES"}


def metadata(client):
    check(client.is_server_live(), "live")
    check(client.is_server_ready(), "ready")
    check(client.is_model_ready("double"), "model ready")
    check(client.is_model_ready("double", "1"), "version ready")
    check(not client.is_model_ready("nobody"), "an unknown model is ready")
    check(not client.is_model_ready("double", "2"), "an unknown version is ready")
    server = client.get_server_metadata()
    check("binary_tensor_data" in server["extensions"], server)
    model = client.get_model_metadata("double")
    check(model["name"] == "double" and model["versions"] == ["1"] and model["platform"], model)
    check(model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1]}], model)
    check(model["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1]}], model)
    index = client.get_model_repository_index()
    check({m["name"] for m in index} >= {"identity", "double", "sleep", "fail"} and all(m["state"] == "READY" for m in index), index)
    refused(lambda: client.get_model_metadata("nobody"), "404", "nobody")
    refused(lambda: client.load_model("double"), "501", "loaded")


def every_type(client):
    random = np.random.default_rng(3)
    for kind, name in NAMES.items():
        for shape in ((2, 3), (1,), (0, 4), (1, 1, 2, 1)):
            if kind is np.object_:
                count = int(np.prod(shape))
                array = np.array([("tëxt " * i).encode() for i in range(count)], dtype=np.object_).reshape(shape)
            elif kind is np.bool_:
                array = random.integers(0, 2, shape).astype(kind)
            elif np.issubdtype(kind, np.floating):
                array = (random.standard_normal(shape) * 100).astype(kind)
            else:
                info = np.iinfo(kind)
                array = random.integers(info.min, info.max, shape, dtype=kind, endpoint=True)
            for binary_in in (True, False):
                if kind is np.float16 and not binary_in:
                    continue  # the client refuses to write it as JSON
                for binary_out in (True, False):
                    if kind is np.float16 and not binary_out:
                        continue
                    answer = client.infer("identity", [tensor("x", array, binary_in)], request_id="r7",
                                          outputs=[http.InferRequestedOutput("x", binary_data=binary_out)])
                    got = answer.as_numpy("x")
                    check(answer.get_response()["id"] == "r7", "id")
                    check(answer.get_output("x")["datatype"] == name, answer.get_output("x"))
                    if got is None:  # the client gives nothing for JSON without elements
                        check(array.size == 0 and answer.get_output("x")["shape"] == list(shape), name)
                        continue
                    if kind is np.object_ and not binary_out:
                        got = np.array([text.encode() if isinstance(text, str) else text for text in got.flatten()], dtype=np.object_).reshape(shape)
                    check(got.shape == tuple(shape) and np.array_equal(got, array), f"{name} {shape} {binary_in} {binary_out}: {got} and not {array}")


def extremes(client):
    array = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], dtype=np.float32)
    got = client.infer("identity", [tensor("x", array, True)]).as_numpy("x")
    check(got.tobytes() == array.tobytes(), got)
    binary = np.array([b"\xff\xfe\x00", b"", b"x" * 70_000], dtype=np.object_)
    got = client.infer("identity", [tensor("x", binary, True)]).as_numpy("x")
    check(list(got) == list(binary), "bytes that are no text")
    big = np.random.default_rng(1).integers(0, 256, 20_000_000, dtype=np.uint8)
    check(np.array_equal(client.infer("identity", [tensor("x", big, True)]).as_numpy("x"), big), "20 MB")


def outputs(client):
    inputs = [tensor(name, np.array([number], dtype=np.int32), binary) for number, (name, binary) in enumerate([("a", True), ("b", False), ("c", True)])]
    everything = client.infer("identity", inputs)  # the client asks for all as bytes
    check([int(everything.as_numpy(name)[0]) for name in "abc"] == [0, 1, 2], everything.get_response())
    chosen = client.infer("identity", inputs, outputs=[http.InferRequestedOutput("c", binary_data=True), http.InferRequestedOutput("a", binary_data=False)])
    check([output["name"] for output in chosen.get_response()["outputs"]] == ["c", "a"], chosen.get_response())
    check(chosen.as_numpy("b") is None and int(chosen.as_numpy("c")[0]) == 2 and int(chosen.as_numpy("a")[0]) == 0, "chosen")
    check("data" in chosen.get_output("a") and "data" not in chosen.get_output("c"), chosen.get_response())
    doubled = client.infer("double", [tensor("x", np.array([1.5, -2], dtype=np.float32), True)], model_version="1", parameters={"anything": 3})
    check(doubled.as_numpy("y").tolist() == [3, -4], doubled.get_response())
    check(doubled.get_response()["model_name"] == "double" and doubled.get_response()["model_version"] == "1", doubled.get_response())


def raw(url):
    request = urllib.request.Request(f"http://{url}/v2/models/double/infer", np.array([4, 5], dtype=np.float32).tobytes(),
                                     {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request) as answer:
        body = answer.read()
        head = int(answer.headers["Inference-Header-Content-Length"])
    check(np.frombuffer(body[head:], dtype=np.float32).tolist() == [8, 10], body)


def errors(client):
    x = np.array([1], dtype=np.float32)
    refused(lambda: client.infer("nobody", [tensor("x", x, True)]), "404", "nobody")
    refused(lambda: client.infer("double", [tensor("x", x, True)], model_version="9"), "404", "double")
    refused(lambda: client.infer("identity", [tensor("x", x, True)], outputs=[http.InferRequestedOutput("z")]), "400", "z")
    refused(lambda: client.infer("identity", [tensor("x", x, True)], outputs=[http.InferRequestedOutput("x", class_count=3)]), "501", "classification")
    shared = http.InferInput("x", [1], "FP32")
    shared.set_shared_memory("region", 4)
    refused(lambda: client.infer("identity", [shared]), "501", "shared memory")
    try:
        client.infer("fail", [tensor("message", np.array([b"on purpose"], dtype=np.object_), True)])
        check(False, "a model that throws gave an answer")
    except InferenceServerException as fault:
        check(fault.status() in ("400", "500") and "on purpose" in fault.message(), str(fault))


def statistics(client):
    before = client.get_inference_statistics("double")["model_stats"][0]["inference_stats"]["success"]["count"]
    for _ in range(5):
        client.infer("double", [tensor("x", np.array([1], dtype=np.float32), True)])
    after = client.get_inference_statistics("double", "1")["model_stats"][0]
    check(after["inference_stats"]["success"]["count"] == before + 5, after)
    check(after["name"] == "double" and after["inference_count"] == before + 5 and after["inference_stats"]["success"]["ns"] > 0, after)
    check(len(client.get_inference_statistics()["model_stats"]) >= 4, "statistics of all")


def concurrent(url):
    with http.InferenceServerClient(url, concurrency=8) as client:
        calls = [(number, client.async_infer("identity", [tensor("x", np.full(1000, number, dtype=np.int32), number % 2 == 0)])) for number in range(200)]
        for number, call in calls:
            check(np.array_equal(call.get_result(timeout=60).as_numpy("x"), np.full(1000, number)), number)
    waits = []

    def sleep():
        with http.InferenceServerClient(url) as one:
            start = time.monotonic()
            one.infer("sleep", [tensor("ms", np.array([500], dtype=np.int64), True)])
            waits.append(time.monotonic() - start)

    threads = [threading.Thread(target=sleep) for _ in range(8)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(len(waits) == 8 and time.monotonic() - start < 8 * 0.5, f"eight calls of 0.5 s did not overlap: {waits}")


def main():
    url = sys.argv[1]
    with http.InferenceServerClient(url, network_timeout=60, connection_timeout=60) as client:
        for attempt in range(400):
            try:
                if client.is_server_ready():
                    break
            except OSError:
                pass
            time.sleep(0.05)
        metadata(client)
        every_type(client)
        extremes(client)
        outputs(client)
        raw(url)
        errors(client)
        statistics(client)
    concurrent(url)
    print(f"{checks} checks held")


if __name__ == "__main__":
    main()
