"""The Open Inference Protocol: in JSON and with the binary extension."""

import base64
import json
import struct

import numpy as np
import pytest

from networks import people
from serve.clients import BOXES, ask, photo, tiny
from wholebody.serve.kserve import HEADER_LENGTH

PHOTOS = [photo(count, seed=count) for count in (2, 0, 3)]
EXPECTED = [tiny()(people(BOXES[:count], seed=count)) for count in (2, 0, 3)]
PATH = "/v2/models/wholebody/infer"


def tensor(photos=PHOTOS, **more):
    data = [base64.b64encode(photo).decode() for photo in photos]
    return {"name": "image", "shape": [len(photos)], "datatype": "BYTES", "data": data, **more}


def infer(path=PATH, **content):
    return ask(("POST", path, {"json": content}))[0]


def check(outputs):
    assert [output["name"] for output in outputs] == ["keypoints", "boxes", "counts"]
    keypoints, boxes, counts = (np.array(output["data"]).reshape(output["shape"]) for output in outputs)
    assert counts.tolist() == [2, 0, 3]
    for got, of in ((keypoints[..., :2], "keypoints"), (keypoints[..., 2], "scores"), (boxes[:, :4], "boxes")):
        np.testing.assert_allclose(got, np.concatenate([getattr(poses, of) for poses in EXPECTED]), atol=1e-3)


def test_what_the_server_says_of_itself():
    paths = ("", "/health/live", "/health/ready", "/models/wholebody", "/models/wholebody/ready")
    paths += ("/models/wholebody/versions/1", "/models/wholebody/versions/1/ready")
    server, live, ready, model, model_ready, *versioned = ask(*(("GET", f"/v2{path}", {}) for path in paths))
    assert server.json()["extensions"] == ["binary_tensor_data"]
    assert live.json() == {"live": True} and ready.json() == {"ready": True}
    assert model.json()["outputs"][0] == {"name": "keypoints", "datatype": "FP32", "shape": [-1, 133, 3]}
    assert model_ready.json() == {"name": "wholebody", "ready": True}
    assert [answer.json() for answer in versioned] == [model.json(), model_ready.json()]


@pytest.mark.parametrize("path", [PATH, "/v2/models/wholebody/versions/1/infer"])
def test_several_pictures(path):
    answer = infer(path, id="7", inputs=[tensor()]).json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("wholebody", "1", "7")
    check(answer["outputs"])


def test_parameters_and_chosen_outputs():
    answer = infer(inputs=[tensor()], outputs=[{"name": "counts"}], parameters={"people": 1}).json()
    assert [(output["name"], output["data"]) for output in answer["outputs"]] == [("counts", [1, 0, 1])]


@pytest.mark.parametrize("out", [False, True])
def test_the_binary_extension(out):
    raw = b"".join(struct.pack("<I", len(photo)) + photo for photo in PHOTOS)
    given = {"name": "image", "shape": [3], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [given], "parameters": {"binary_data_output": out}}).encode()
    more = {"content": head + raw, "headers": {HEADER_LENGTH: str(len(head))}}
    (answer,) = ask(("POST", PATH, more))
    assert answer.status_code == 200, answer.text
    if not out:
        check(answer.json()["outputs"])
        return
    at = int(answer.headers[HEADER_LENGTH])
    outputs = json.loads(answer.content[:at])["outputs"]
    for output in outputs:
        size = output["parameters"]["binary_data_size"]
        kind = {"FP32": "<f4", "INT64": "<i8"}[output["datatype"]]
        output["data"] = np.frombuffer(answer.content[at : at + size], kind)
        at += size
    assert at == len(answer.content)
    check(outputs)


NONSENSE = [
    ({}, "inputs"),
    ({"inputs": []}, "inputs"),
    ({"inputs": [7]}, "inputs"),
    ({"inputs": [tensor()], "id": 7}, "id"),
    ({"inputs": [tensor(name="picture")]}, "image"),
    ({"inputs": [tensor(datatype="UINT8")]}, "BYTES"),
    ({"inputs": [tensor(shape=[2])]}, "3 pictures"),
    ({"inputs": [tensor(shape="3")]}, "shape"),
    ({"inputs": [tensor(photos=PHOTOS[:1], shape=[])]}, "shape"),
    ({"inputs": [tensor(shape=[True])]}, "shape"),
    ({"inputs": [tensor(shape=[17])]}, "16"),
    ({"inputs": [tensor(photos=PHOTOS[:1] * 64, shape=[8, 8])]}, "1 to 16"),
    ({"inputs": [tensor(photos=[], shape=[16] * 16)]}, "1 to 16"),
    ({"inputs": [tensor(shape=[-1, -3])]}, "1 to 16"),
    ({"inputs": [tensor(data=[1, 2, 3])]}, "base64"),
    ({"inputs": [tensor(data=None)]}, "base64"),
    ({"inputs": [tensor(data=["http://x"], shape=[1])]}, "not base64"),
    ({"inputs": [tensor(parameters=7)]}, "parameters"),
    ({"inputs": [tensor(parameters=False)]}, "parameters"),
    ({"inputs": [tensor()], "outputs": ""}, "outputs"),
    ({"inputs": [tensor(parameters={"binary_data_size": 5})]}, "0 bytes follow"),
    ({"inputs": [tensor()], "parameters": {"people": 0}}, "people"),
    ({"inputs": [tensor()], "parameters": {"threshold": "high"}}, "threshold"),
    ({"inputs": [tensor()], "outputs": ["counts"]}, "outputs"),
    ({"inputs": [tensor()], "outputs": [{"name": ["counts"]}]}, "outputs must be"),
    ({"inputs": [tensor(photos=[PHOTOS[0], b"x"])]}, "not a picture"),
]


def test_what_makes_no_sense():
    answers = ask(*(("POST", PATH, {"json": content}) for content, _ in NONSENSE))
    for answer, (_, says) in zip(answers, NONSENSE, strict=True):
        assert answer.status_code in (400, 415) and says in answer.json()["error"], answer.text


def test_a_header_of_the_wrong_length():
    lengths = ("x", "-1", "99999", "9" * 5000, "")
    for answer in ask(*(("POST", PATH, {"content": b"{}", "headers": {HEADER_LENGTH: length}}) for length in lengths)):
        assert answer.status_code == 400 and HEADER_LENGTH in answer.json()["error"]


def test_binary_data_that_ends_early():
    requests = []
    for raw in (b"\1", struct.pack("<I", 99) + b"x", b"\0\0\0\0" * 17):
        given = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
        head = json.dumps({"inputs": [given]}).encode()
        requests.append(("POST", PATH, {"content": head + raw, "headers": {HEADER_LENGTH: str(len(head))}}))
    for answer in ask(*requests):
        assert answer.status_code == 400, answer.text
