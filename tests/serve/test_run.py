"""The service as processes: sockets, slow clients, signals."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import uvicorn

from serve.clients import photo, tiny
from wholebody.cli import main
from wholebody.errors import WholebodyError
from wholebody.serve import run
from wholebody.serve.app import make_app


def until(there):
    while not there():
        time.sleep(0.005)


@contextmanager
def served(model):
    """A service on a port of its own, in a thread; yields the server and the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = make_app(lambda: model)
        server = uvicorn.Server(uvicorn.Config(app, http=run.Impatient, log_config=None))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        port = listener.getsockname()[1]
        try:
            until(lambda: get(port, "/v2/health/ready") == 200)
            yield server, port
        finally:
            server.should_exit = True
            thread.join()


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    return connection.getresponse().status


def post(port, data=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/v1/pose", data or photo(2), {"content-type": "image/png"})
    return connection.getresponse()


def test_heads_that_do_not_end_and_connections_that_are_cut(monkeypatch):
    monkeypatch.setattr(run, "_HEAD", 0.2)
    with served(tiny()) as (_, port):
        silent, slow, cut = (socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(3))
        slow.sendall(b"POST /v1/pose HTTP/1.1\r\nHost: here\r\nContent-")
        cut.sendall(b"POST /v1/pose HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\nabc")
        cut.close()
        assert post(port).status == 200
        for waiting in (silent, slow):
            with suppress(ConnectionResetError):
                assert waiting.recv(100) == b""
        # A connection that is kept between requests has longer, also after a body that was refused unread.
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for _ in range(3):
            kept.request("GET", "/v2/health/live")
            assert kept.getresponse().read() == b'{"live":true}'
            kept.request("POST", "/v1/pose", bytes(200_000), {"content-type": "text/plain"})
            assert b"is not supported" in kept.getresponse().read()
            time.sleep(0.15)
        kept.sock.sendall(b"POST /v1/po")
        assert kept.sock.recv(100) == b""


def test_nothing_more_is_done_for_whoever_has_gone():
    model = tiny(slow=0.2)
    with served(model) as (_, port):
        runs = len(model.detector.session.runs)
        data = photo(2)
        senders = []
        for _ in range(5):
            sender = socket.create_connection(("127.0.0.1", port), timeout=20)
            sender.sendall(b"POST /v1/pose HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
            senders.append(sender)
        until(lambda: len(model.detector.session.runs) > runs)
        for sender in senders:
            sender.close()
        assert post(port).status == 200
    assert sum(model.pose.session.runs) == 1 + 2  # that of the warming up, and of the one who stayed


def test_what_was_begun_is_answered():
    model = tiny(slow=0.3)
    with served(model) as (server, port):
        runs, statuses = len(model.detector.session.runs), []
        asking = threading.Thread(target=lambda: statuses.append(post(port).status))
        asking.start()
        until(lambda: len(model.detector.session.runs) > runs)
        server.should_exit = True
        asking.join()
    assert statuses == [200]
    with pytest.raises(ConnectionRefusedError):
        get(port, "/v2/health/live")


def test_a_taken_port_is_one_line():
    with run._listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(WholebodyError, match=f"127.0.0.1:{port} cannot be used"), run._listening("127.0.0.1", port):
            pass


@pytest.mark.parametrize("option", ["--max-mb", "--max-megapixels", "--seconds"])
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_limits_without_end_are_one_line(capsys, option, value):
    with pytest.raises(SystemExit) as end:
        main(["serve", option, value])
    errors = capsys.readouterr().err
    assert end.value.code == 1 and len(errors.splitlines()) == 1 and value in errors


def test_keys_come_from_the_environment(monkeypatch):
    monkeypatch.delenv(run.KEYS, raising=False)
    assert run.keys_from_environment() == []
    monkeypatch.setenv(run.KEYS, " one, two,")
    assert run.keys_from_environment() == ["one", "two"]
    monkeypatch.setenv(run.KEYS, " ,")
    with pytest.raises(WholebodyError, match="has no key"):
        run.keys_from_environment()


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
def test_a_process_says_where_it_is_and_ends_when_told():
    words = ["serve", "--port", "0", "--pose", "fast", "--detector", "none", "--precision", "fp32", "--threads", "1"]
    command = [sys.executable, "-m", "wholebody.cli", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline()
        port = int(address.split(";")[0].rsplit(":", 1)[1])
        until(lambda: get_when_there(port) == 200)
        assert post(port).status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["path"] for line in lines if line["message"] == "request"] == ["/v1/pose"]


def get_when_there(port):
    try:
        return get(port, "/v2/health/ready")
    except ConnectionRefusedError:
        return None
