"""Latency and throughput of the service with 1, 8 and 32 clients on loopback, with batches across requests and without.

    python runs/serve/load.py examples/parkour.jpg --requests 48 --rounds 2

Two services with the same networks run at the same time and take turns, so that other load affects both equally. A
client sends the next request as soon as it gets a response. CPU time is that of the service's process.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx

SERVICE = """
import sys
from wholebody.serve.run import *
pictures, people, wait = sys.argv[1:4]
networks = Networks(sys.argv[4], "person", precision="fp32")
batching = Batching(int(pictures), int(people), float(wait))
serve(networks, Limits(seconds=600), batching, port=0, log_level="warning", tell=lambda line: print(line, flush=True))
"""
SERVICES = {"batches": ("8", "16", "0.005"), "one by one": ("1", "1", "0")}


def started(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A service's process and its address."""
    process = subprocess.Popen([sys.executable, "-c", SERVICE, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().split(";")[0]


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """What a process has computed so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def asked(address: str, pictures: list[bytes], clients: int, requests: int) -> tuple[list[float], float]:
    """The seconds of each answer, and of all of them."""
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=900, limits=limits) as asking:
        left, seconds = iter(range(requests)), []

        async def client() -> None:
            for n in left:
                begun = time.perf_counter()
                answer = await asking.post("/v1/pose", content=pictures[n % len(pictures)])
                answer.raise_for_status()
                seconds.append(time.perf_counter() - begun)

        begun = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return seconds, time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pose", default="wholebody-133")
    options = parser.parse_args()
    pictures = [path.read_bytes() for path in options.pictures]
    services = {name: started(*batching, options.pose) for name, batching in SERVICES.items()}
    cells: dict[tuple[int, str], list[tuple[float, float, float, float]]] = {}
    try:
        for _, address in services.values():
            asyncio.run(asked(address, pictures, 4, 8))  # warms up
        for number in range(options.rounds):
            for clients in options.clients:
                order = list(services.items())[:: 1 if number % 2 else -1]
                for name, (process, address) in order:
                    before = cpu_seconds(process)
                    count = min(options.requests, 16 * clients)
                    seconds, total = asyncio.run(asked(address, pictures, clients, count))
                    p95 = statistics.quantiles(seconds, n=20)[-1]
                    cpu = (cpu_seconds(process) - before) / count
                    row = (count / total, statistics.median(seconds), p95, cpu)
                    cells.setdefault((clients, name), []).append(row)
                    print(json.dumps([number, clients, name, *(round(value, 4) for value in row)]), flush=True)
    finally:
        for process, _ in services.values():
            process.terminate()
            process.wait()
    print("| clients | | pictures/s | median ms | 95 % ms | CPU ms a picture |\n|---:|---|---:|---:|---:|---:|")
    for (clients, name), rows in cells.items():
        rate, median, p95, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"| {clients} | {name} | {rate:.1f} | {1e3 * median:.0f} | {1e3 * p95:.0f} | {1e3 * cpu:.0f} |")
    for clients in options.clients:
        pairs = zip(cells[clients, "batches"], cells[clients, "one by one"], strict=True)
        ratios = [batched[0] / single[0] for batched, single in pairs]
        print(f"{clients} clients: throughput with batches is {statistics.median(ratios):.2f} times that without")


if __name__ == "__main__":
    main()
