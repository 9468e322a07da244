"""Other files made of a good one: bytes, words, values, members and headers changed at random."""

import copy
import io
import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

_WORDS = (
    b"-1", b"0", b"1e999", b"-1e999", b"NaN", b"nan", b"Infinity", b"9" * 400, b"9" * 5000, b"1e308", b"null", b"true",
    b"[]", b"{}", b'""', b"-9223372036854775809", b"18446744073709551616", b"9007199254740993", b"0x10", b"1_0",
    b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800", b"\x00", b"\r", b"\n", b'"', b",", b"\t", b"1e-400", b"a/../b", b"%s",
    b"[" * 100_000, b'{"a":' * 50_000,
)  # fmt: skip
_VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, -(10**18), 0.5, 1e308, -1e308, float("inf"),
    float("-inf"), float("nan"), "", "a", "1", "\ud800", "a\nb", "x" * 10_000, "\x1b[2J", [], {}, [[]], [None],
    [1, 2, 3], [1e300] * 4, {"a": 1}, ["a"] * 4, [float("nan")] * 4,
)  # fmt: skip
_SIZES = (b"77777777777\0", b"\x80" + b"\xff" * 11, b"-0000000001\0")  # of members of a tar file
_DTYPES = ("<M8[s]", "|O", "<U5", "<c8", "|b1", ">f8", "<f2", "<i8", "|u1", "|V8", "<f4", "|S3", [("a", "<f4")])


def bytes_(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, taken out, put in, or written over with numbers of machines."""
    new = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        # The heads and ends of files say most.
        size = max(len(new), 1)
        at = rng.randrange(size) if rng.random() < 0.5 else min(int(rng.expovariate(1 / 200)), size - 1)
        at = size - 1 - at if rng.random() < 0.2 else at
        kind = rng.randrange(9)
        if kind == 0:
            new[at : at + 1] = bytes((rng.randrange(256),))
        elif kind == 1 and new:
            new[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del new[at:]
        elif kind == 3:
            del new[at : at + rng.choice((1, 2, 4, 16, 200))]
        elif kind == 4:
            new[at:at] = new[max(0, at - rng.choice((1, 8, 64, 1000))) : at]
        elif kind == 5:
            width = rng.choice((1, 2, 4, 8))
            number = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1))
            new[at : at + width] = (number % 256**width).to_bytes(width, rng.choice(("little", "big")))
        elif kind == 6:
            new[at:at] = rng.choice(_WORDS)
        elif kind == 7:
            length = rng.choice((4, 40, 400))
            new[at : at + length] = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
        else:
            other = rng.randrange(size)
            new[at : at + 32] = new[other : other + 32]
    return bytes(new)


def text(data: bytes, rng: random.Random) -> bytes:
    """A word, a field or a line exchanged, doubled or taken out."""
    kind = rng.randrange(4)
    if kind == 0:
        lines = data.split(b"\n")
        at = rng.randrange(len(lines))
        lines[at : at + 1] = rng.choice(([], [lines[at]] * 2, [rng.choice(_WORDS)], [lines[at][: len(lines[at]) // 2]]))
        return b"\n".join(lines)
    for separator in rng.sample((b",", b"\t", b" ", b":", b"\n"), 5):
        words = data.split(separator)
        if len(words) > 1:
            at = rng.randrange(len(words))
            words[at : at + 1] = rng.choice(([], [rng.choice(_WORDS)], [rng.choice(_WORDS)], [words[at]] * 2))
            return separator.join(words)
    return bytes_(data, rng)


def _value(content: Any, rng: random.Random) -> Any:
    """JSON with a value exchanged, taken out, doubled or under another name."""
    holder, path = content, 0
    while True:
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        if not keys:
            break
        key = rng.choice(keys)
        inner = holder[key]
        if isinstance(inner, (dict, list)) and inner and rng.random() < 0.75 and path < 20:
            holder, path = inner, path + 1
            continue
        kind = rng.randrange(6)
        if kind < 3:
            holder[key] = copy.deepcopy(rng.choice(_VALUES))
        elif kind == 3:
            del holder[key]
        elif kind == 4 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(inner))
        elif isinstance(holder, dict):
            holder[rng.choice((*map(str, keys), "new"))] = holder.pop(key)
        else:
            holder[key] = [inner]
        break
    return content if path or rng.random() < 0.95 else copy.deepcopy(rng.choice(_VALUES))


def json_(data: bytes, rng: random.Random) -> bytes:
    content = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if isinstance(content, (dict, list)):
            content = _value(content, rng)
    text = json.dumps(content)
    if rng.random() < 0.05:
        text = text.replace("0", rng.choice(("0" * 400, "1e999", "[" * 5000)), 1)
    return text.encode()


def lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = json_(lines[at], rng)
    return b"\n".join(lines) + b"\n"


def array(data: bytes, rng: random.Random) -> bytes:
    """An NPY file with another dtype, shape or order in its head, or of other data."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    kind = rng.randrange(4)
    if kind == 0:
        with suppress(Exception):
            out = io.BytesIO()
            np.save(out, array.astype(rng.choice(("M8[s]", "c8", "b1", "f8", "f2", "i8", "u1", "U5"))))
            return out.getvalue()
    if kind == 1:
        shapes = (array.shape[::-1], array.shape[:-1], (*array.shape, 1), (0, *array.shape), (), (1, *array.shape))
        other = np.resize(array, rng.choice(shapes))
        if rng.random() < 0.5 and other.dtype.kind in "iuf" and other.size:
            with np.errstate(all="ignore"):
                values = (np.nan, np.inf, -1, 0, 1e30) if other.dtype.kind == "f" else (-1, 0, 2**31 - 1)
                other.flat[rng.randrange(other.size)] = np.array(rng.choice(values)).astype(other.dtype)
        out = io.BytesIO()
        np.save(out, other)
        return out.getvalue()
    shape = list(array.shape) or [1]
    if rng.random() < 0.6:
        shape[rng.randrange(len(shape))] = rng.choice((0, -1, 1, 2, 10**6, 10**9, 2**31, 2**62, 2**64))
    order = rng.random() < 0.1
    dtype = rng.choice(_DTYPES) if rng.random() < 0.6 else array.dtype.str
    head = repr({"descr": dtype, "fortran_order": order, "shape": tuple(shape)}).encode()
    if rng.random() < 0.1:
        head = bytes_(head, rng)
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) % 65536) + head + array.tobytes()


def _zip(data: bytes, rng: random.Random, member: Callable[[str, bytes, random.Random], bytes]) -> bytes:
    """An archive with a member changed, taken out, doubled, compressed, or of very many zeros."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = rng.randrange(len(members))
    kind = rng.randrange(10)
    name, content = members[at]
    if kind == 0:
        del members[at]
    elif kind == 1:
        members[at] = (rng.choice(("", "../x", "x.npy", members[rng.randrange(len(members))][0])), content)
    elif kind == 2:
        members.append((name, members[rng.randrange(len(members))][1]))
    elif kind == 3 and rng.random() < 0.02:
        members[at] = (name, content[:80] + bytes(300_000_000))
    else:
        members[at] = (name, member(name, content, rng))
    out = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if kind == 3 or rng.random() < 0.2 else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", how, compresslevel=1) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name or "a")
            info.compress_type = how
            archive.writestr(info, content)
    new = out.getvalue()
    if kind == 9:  # the sizes that the directory says
        found = new.rfind(b"PK\x01\x02")
        new = new[: found + 20] + struct.pack("<II", *rng.choices((0, 1, 2**31, 2**32 - 2), k=2)) + new[found + 28 :]
    return new


def npz(data: bytes, rng: random.Random) -> bytes:
    return _zip(data, rng, lambda name, content, rng: (array if rng.random() < 0.8 else bytes_)(content, rng))


def pickle(data: bytes, rng: random.Random) -> bytes:
    """A checkpoint whose pickle has other names, shapes and numbers."""

    def member(name: str, content: bytes, rng: random.Random) -> bytes:
        if not name.endswith("data.pkl") or rng.random() < 0.4:
            return bytes_(content, rng)
        words = (b"torch\nFloatStorage", b"collections\nOrderedDict", b"torch._utils\n_rebuild_tensor_v2")
        others = (b"os\nsystem", b"builtins\neval", b"torch\nIntStorage", b"numpy\ndtype", b"torch\nSize", b"a\nb")
        return content.replace(rng.choice(words), rng.choice(others), rng.choice((1, -1)))

    return _zip(data, rng, member)


def tar(data: bytes, rng: random.Random) -> bytes:
    """A tar file whose members say other sizes and kinds, or whose labels are other JSON."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive, tarfile.open(fileobj=out, mode="w") as new:
        infos = archive.getmembers()
        at = rng.randrange(len(infos))
        for n, info in enumerate(infos):
            file = archive.extractfile(info)
            content = file.read() if file else b""
            if n == at:
                kind = rng.randrange(5)
                if kind == 0:
                    continue
                if kind == 1:
                    info.name = rng.choice(("../x.jpg", ".jpg", "0" * 300 + ".json", "\n.json", info.name[1:]))
                elif info.name.endswith(".json") and kind < 4:
                    content = json_(content, rng)
                else:
                    content = bytes_(content, rng)
                info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    head = bytearray(out.getvalue())
    if rng.random() < 0.3:  # a size or a kind that is not true, with a checksum that is
        start = 512 * rng.randrange(min(len(head) // 512, 8))
        if head[start + 257 : start + 262] == b"ustar":
            if rng.random() < 0.5:
                head[start + 124 : start + 136] = rng.choice(_SIZES)
            else:
                head[start + 156 : start + 157] = rng.choice((b"S", b"1", b"2", b"5", b"x", b"g", b"L", b"Z"))
            head[start + 148 : start + 156] = b" " * 8
            head[start + 148 : start + 156] = b"%06o\0 " % sum(head[start : start + 512])
    return bytes(head)


def safetensors(data: bytes, rng: random.Random) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    head = json_(data[8 : 8 + length], rng)
    size = len(head) if rng.random() < 0.9 else rng.choice((0, 2**40, 2**64 - 1, len(head) + 1))
    return struct.pack("<Q", size) + head + data[8 + length :]


def notes(data: bytes, rng: random.Random) -> bytes:
    """A .safetensors file of ours whose notes say something else."""
    (length,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + length])
    head["__metadata__"]["wholebody"] = json_(head["__metadata__"]["wholebody"].encode(), rng).decode()
    new = json.dumps(head).encode()
    return struct.pack("<Q", len(new)) + new + data[8 + length :]


def onnx_notes(data: bytes, rng: random.Random) -> bytes:
    import onnx

    proto = onnx.load_from_string(data)
    for entry in proto.metadata_props:
        entry.value = json_(entry.value.encode(), rng).decode(errors="replace")
    return proto.SerializeToString()


def parquet(data: bytes, rng: random.Random) -> bytes:
    """A table with a column of another type, without one, with nulls, or of another schema's name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    at = rng.randrange(table.num_columns)
    name = table.schema.names[at]
    kind = rng.randrange(5)
    if kind == 0:
        table = table.drop_columns([name])
    elif kind == 1:
        columns = (
            pa.array([rng.choice((0, -1, 2**62, None)) for _ in range(len(table))], pa.int64()),
            pa.array([rng.choice((0.5, float("nan"), 1e300, None)) for _ in range(len(table))]),
            pa.array(["a"] * len(table)),
            pa.nulls(len(table)),
            pa.array([[1.0, None]] * len(table)),
            pa.array([[]] * len(table), pa.list_(pa.float32())),
            pa.array([b"\xff"] * len(table)),
            pa.array([{"bytes": None, "path": None}] * len(table)),
        )
        table = table.set_column(at, name, rng.choice(columns))
    elif kind == 2:
        old = dict(table.schema.metadata or {})
        key = rng.choice([*old, b"schema"])
        table = table.replace_schema_metadata(old | {key: rng.choice((b"", b"\xff", b"coco_body17", b"[" * 5000))})
    elif kind == 3:
        table = pa.concat_tables([table.slice(rng.randrange(len(table) + 1))] * rng.choice((0, 1, 2, 5)) or [table[:0]])
    else:
        table = table.rename_columns([rng.choice((n, n, "a")) for n in table.schema.names])
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


Mutation = Callable[[bytes, random.Random], bytes]


def mutated(data: bytes, how: tuple[Mutation, ...], rng: random.Random) -> bytes:
    """Another file: half of them by bytes, the others by what the file is made of."""
    change = bytes_ if not how or rng.random() < 0.4 else rng.choice(how)
    try:
        return change(data, rng)
    except Exception:  # what cannot be made this way is made the other way
        return bytes_(data, rng)
