"""The service under attack: its responses, its memory, and whether other clients are still served.

    python runs/serve/hostile.py examples/parkour.jpg

An honest client sends requests all the time, and retries when told to, while one attack after another runs. The service
has no detector, because the test is about everything in front of the networks.
"""

import argparse
import asyncio
import base64
import os
import random
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlparse

import cv2
import httpx
import numpy as np

SERVICE = """
import sys
from wholebody.serve.run import *
networks = Networks("fast", "none", precision="fp32", threads=1)
serve(networks, Limits(), Batching(), port=0, log_level="warning", tell=lambda line: print(line, flush=True))
"""


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, real: bool) -> bytes:
    """A black PNG of a size; not `real`, it only claims to be that large."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = zlib.compress(bytes((3 * width + 1) * height), 9) if real else zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def scans(photo: bytes) -> bytes:
    """A progressive JPEG with its last scan a few thousand times."""
    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + last * (10_000_000 // len(last)) + b"\xff\xd9"


def bombs(photo: bytes) -> list[tuple[bytes, str]]:
    """Bodies and their types."""
    random.seed(0)
    noise = random.randbytes(19_000_000)
    pictures = [
        png(30000, 30000, False),
        png(7000, 7000, True),
        png(7000, 7000, True),
        png(2**31 - 1, 2**31 - 1, False),
        scans(photo),
        photo[:600] + noise,
        b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"") * 1_500_000,
        b"GIF89a" + struct.pack("<HH", 65535, 65535) + noise[:1000],
        b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 65535) + noise[:1_000_000],
        b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WEBPVP8X" + noise[:1000],
        noise + noise,
    ]
    part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n'
    return [
        *((data, "application/octet-stream") for data in pictures),
        (b"[" * 20_000_000, "application/json"),
        (b'{"image":"' + base64.b64encode(noise) + b'"}', "application/json"),
        (part * 100_000 + b"--b--", "multipart/form-data; boundary=b"),
        (b'--b\r\nContent-Disposition: form-data; name="' + noise[:10_000_000], "multipart/form-data; boundary=b"),
    ]


class Attack:
    """A service under attack, and an honest client of it."""

    def __init__(self, address: str, pid: int, photo: bytes) -> None:
        self.address, self.pid, self.photo = address, pid, photo
        self.host, self.port = urlparse(address).hostname, urlparse(address).port
        self.client = httpx.AsyncClient(base_url=address, timeout=120, limits=httpx.Limits(max_connections=400))

    def memory(self) -> float:
        """MB that the service holds."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1e3

    async def post(self, data: bytes, kind: str = "image/jpeg") -> str:
        try:
            answer = await self.client.post("/v1/pose", content=data, headers={"content-type": kind})
        except httpx.HTTPError as error:
            return type(error).__name__
        return str(answer.status_code)

    async def served(self) -> int:
        """One honest picture until it is answered; how often it was told to come again."""
        for tries in range(10_000):
            answer = await self.client.post("/v1/pose", content=self.photo)
            if answer.status_code == 200:
                return tries
            assert answer.status_code in (429, 503), answer.text
            await asyncio.sleep(float(answer.headers["retry-after"]) * random.uniform(0.5, 1.5))
        raise AssertionError("never served")

    async def at_once(self) -> Counter[str]:
        """200 honest ones at the same moment, who come again when told to."""
        tries = await asyncio.gather(*(self.served() for _ in range(200)))
        return Counter({"200": 200, "429, and came again": sum(tries)})

    async def bombs(self) -> Counter[str]:
        bodies = bombs(self.photo) * 3
        random.shuffle(bodies)
        return Counter(await asyncio.gather(*(self.post(*body) for body in bodies)))

    async def slow(self) -> Counter[str]:
        """200 connections: half never end their head, half send a body byte by byte."""

        async def one(n: int) -> str:
            reader, writer = await asyncio.open_connection(self.host, self.port)
            head = b"POST /v1/pose HTTP/1.1\r\nHost: here\r\n"
            writer.write(head if n % 2 else head + b"Content-Length: 100000\r\n\r\n")
            with suppress(ConnectionError):
                for _ in range(45):
                    writer.write(b"X-A: b\r\n" if n % 2 else b"x")
                    await writer.drain()
                    with suppress(TimeoutError):
                        return (await asyncio.wait_for(reader.read(100), 1))[9:12].decode() or "closed"
            return "closed"

        return Counter(await asyncio.gather(*(one(n) for n in range(200))))

    async def cut(self) -> Counter[str]:
        """300 connections that are cut: within the body, or before the answer."""

        async def one(n: int) -> str:
            _, writer = await asyncio.open_connection(self.host, self.port)
            head = b"POST /v1/pose HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(self.photo)
            writer.write(head + (self.photo[: n * 500] if n % 2 else self.photo))
            await writer.drain()
            await asyncio.sleep(random.uniform(0, 1))
            writer.transport.abort()
            return "cut"

        return Counter(await asyncio.gather(*(one(n) for n in range(300))))

    async def run(self, name: str, attack: Callable[[], Awaitable[Counter[str]]]) -> None:
        """Attack while an honest client keeps asking; a row of the table."""
        over, waits = False, []

        async def honest() -> None:
            while not over:
                begun = time.perf_counter()
                await self.served()
                waits.append(time.perf_counter() - begun)

        asking = asyncio.ensure_future(honest())
        begun = time.perf_counter()
        answers = await attack()
        seconds, over = time.perf_counter() - begun, True
        await asking
        said = ", ".join(f"{count} x {answer}" for answer, count in sorted(answers.items()))
        numbers = f"{seconds:.0f} | {len(waits)} | {max(waits):.1f} | {self.memory():.0f}"
        print(f"| {name} | {said} | {numbers} |", flush=True)


async def attacked(address: str, pid: int, photo: bytes) -> None:
    attack = Attack(address, pid, photo)
    while (await attack.client.get("/v2/health/ready")).status_code != 200:
        await asyncio.sleep(0.2)
    await asyncio.gather(*(attack.served() for _ in range(30)))
    print(f"memory before: {attack.memory():.0f} MB\n")
    print("| attack | answers | s | honest answers meanwhile | longest s | MB after |\n|---|---|---:|---:|---:|---:|")
    for number in range(2):
        for name, how in (
            ("200 at once", attack.at_once),
            ("bombs", attack.bombs),
            ("slow clients", attack.slow),
            ("cut connections", attack.cut),
        ):
            await attack.run(f"{name}, {('first', 'second')[number]} time", how)
    numbers = (await attack.client.get("/metrics")).text
    print("\n" + "\n".join(line for line in numbers.splitlines() if 'requests_total{route="/v1/pose"' in line))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    photo = parser.parse_args().picture.read_bytes()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout
    try:
        address = process.stdout.readline().split(";")[0]
        asyncio.run(attacked(address, process.pid, photo))
    finally:
        process.terminate()
        print("ended with", process.wait())


if __name__ == "__main__":
    main()
