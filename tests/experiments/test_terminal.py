"""What a user sees on terminals of any width, in any encoding, and if the output cannot be
written.
"""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from processes import ROOT
from rich.console import Console

from experiments import output
from experiments.runner import indented
from experiments.sheet import Sheet

TABLE = Sheet(
    ["λ", "train %", "test %", "‖w‖", "KKT residual / λ"],
    [
        "proximal L1",
        *(
            [f"{10.0**-n:.3g}", f"9{n}.25±0.17", f"8{n}.75±0.29", "11.8±0.1", f"{n}e-03±1e-04"]
            for n in range(5)
        ),
    ],
    title="mean±standard error",
)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_table_loses_no_digit_and_keeps_its_columns(width, encoding):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="spell")
    Console(file=file, width=width).print(TABLE)
    file.flush()
    text = raw.getvalue().decode(encoding)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= max(width, 20)
    for row in TABLE.rows[1:]:
        assert all(output.printable(cell, encoding) in text for cell in row)
    if width == 80:
        assert len({len(line) for line in text.splitlines() if "e-03" in line}) == 1


def command(*words, **environment):
    return {
        "args": [sys.executable, "-m", "experiments", *words],
        "cwd": ROOT,
        "env": {**os.environ, "JAX_PLATFORMS": "cpu", **environment},
    }


def on_a_terminal(width, *words, **environment):
    """What a command prints on a pseudo-terminal, and its exit status."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    started = command(*words, TERM="xterm-256color", **environment)
    started["env"].pop("COLUMNS", None)
    process = subprocess.Popen(**started, stdin=other, stdout=other, stderr=other)
    os.close(other)
    said = b""
    while True:
        try:
            more = os.read(main, 65536)
        except OSError:  # Linux's end of a terminal whose program is gone
            break
        if not more:
            break
        said += more
    os.close(main)
    return process.wait(), said.decode()


@pytest.mark.parametrize("width", [10, 40, 80, 200])
def test_a_finding_keeps_its_words_and_its_interval_whole(width):
    text = "L2 makes weights smaller: 92.8 % [90.5, 95.1]"
    lines = indented(text, width)
    assert " ".join(line.strip() for line in lines) == text
    assert any("[90.5, 95.1]" in line for line in lines)
    assert len(lines[0]) + 16 <= max(width, 40) and max(map(len, lines)) <= max(width, 40)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_help_fits_the_terminal(width):
    status, said = on_a_terminal(width, "help", "claims")
    assert status == 0
    assert "\x1b[" in said
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", said).splitlines())) <= width


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_mistake_gets_one_line_on_a_terminal(width):
    status, said = on_a_terminal(width, "--bogus", "3")
    assert status == 2
    assert "\x1b[" in said
    assert "error: unknown option --bogus; see python -m experiments --help" in said
    status, said = on_a_terminal(width, "--sweep.l1", "-1", NO_COLOR="1")
    assert status == 2
    assert "\x1b[" not in said
    assert (
        "error: sweep.l1: expected increasing positive strengths, got (-1.0,); see python -m "
        "experiments --help" in said
    )


@pytest.mark.parametrize(
    "locale",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_an_encoding_without_greek_letters_is_enough(locale):
    done = subprocess.run(**command("--help", **locale), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"lambda" in done.stdout
    assert done.stdout.isascii()


def test_output_that_cannot_be_written_gives_no_traceback():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            **command("--help"), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: standard output could not be written (No space left on device)"
    )
    assert done.stderr.count("\n") == 1
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        **command("--help"), stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    shell = f"exec {sys.executable} -m experiments --help >&-"
    closed = {**command(), "args": ["sh", "-c", shell]}
    done = subprocess.run(**closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
