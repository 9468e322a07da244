"""The command `wholebody`. Each subcommand imports what it needs inside, so that --help is instant."""

import difflib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence

import tyro

from wholebody.commands.batch import batch
from wholebody.commands.data import data_check, data_frames, data_view, synth, synth_body
from wholebody.commands.evaluate import bench_image, bench_precision, compare, evaluate
from wholebody.commands.label import label
from wholebody.commands.models import doctor, export, models
from wholebody.commands.predict import camera, predict
from wholebody.commands.serve import serve
from wholebody.commands.train import distill, train
from wholebody.console import PlainFormatter, say
from wholebody.errors import REFUSALS, WholebodyError, refusal
from wholebody.signals import ended_by_signals

COMMANDS: dict[str, Callable[..., int]] = {
    "predict": predict,
    "batch": batch,
    "camera": camera,
    "serve": serve,
    "models": models,
    "doctor": doctor,
    "train": train,
    "distill": distill,
    "export": export,
    "evaluate": evaluate,
    "compare": compare,
    "data check": data_check,
    "data frames": data_frames,
    "data view": data_view,
    "label": label,
    "synth": synth,
    "synth body": synth_body,
    "bench image": bench_image,
    "bench precision": bench_precision,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 all well, 1 something failed, 2 wrong usage, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    length = 2 if " ".join(words[:2]) in COMMANDS else 1
    name, rest = " ".join(words[:length]), words[length:]
    if name in ("", "-h", "--help", "--version"):
        sys.exit(_overview(name, list(COMMANDS)))
    if name not in COMMANDS:
        group = [command for command in COMMANDS if command.startswith(f"{name} ")]
        if group and (not rest or rest[0] in ("-h", "--help")):
            sys.exit(_overview(" ".join(rest), group))
        close = difflib.get_close_matches(" ".join(words[: 2 if group else 1]), group or COMMANDS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        say(f"wholebody: no command {name!r}.{hint} There are {', '.join(group or COMMANDS)}.")
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):  # do not fail on a character that the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PlainFormatter())
    # We report damaged pictures ourselves, once.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    if "--trust" in rest:  # with any command, as any may name a network
        rest = [word for word in rest if word != "--trust"]
        os.environ["WHOLEBODY_TRUST"] = "1"
    try:
        command = COMMANDS[name]
        with ended_by_signals():
            if command in (train, distill):  # the options depend on the recipe
                status = command(rest)
            else:
                status = tyro.cli(command, prog=f"wholebody {name}", args=rest, config=(tyro.conf.OmitArgPrefixes,))
    except WholebodyError as error:
        say(f"wholebody: {error}")
        status = 1
    except KeyboardInterrupt:
        print("wholebody: interrupted. Finished results are kept.", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        status = 0
    except REFUSALS as error:
        say(f"wholebody: {refusal(error)}")
        status = 1
    sys.exit(status)


def _overview(name: str, commands: Sequence[str]) -> int:
    """The output of `wholebody`, `--help` and `--version`; also of `wholebody data`, with its subcommands."""
    from importlib.metadata import version

    if name == "--version":
        print(version("wholebody"))
        return 0
    print("wholebody finds 133 keypoints for every person in pictures and videos.\n\nusage: wholebody COMMAND ...\n")
    for command in commands:
        print(f"  {command:12} {(COMMANDS[command].__doc__ or '').splitlines()[0]}")
    print("\nRun wholebody COMMAND --help for its options. To start: wholebody predict PHOTO")
    print("With --trust, commands also download networks that cannot be verified; wholebody models marks them.")
    return 0 if name else 2


if __name__ == "__main__":
    main()
