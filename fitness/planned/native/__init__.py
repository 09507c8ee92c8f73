"""The compiled kernels of `fused.c`, built once by the machine's C compiler and kept in the user's cache folder.

The name of a library contains a hash of the source, the flags and the compiler's predefined macros, which include its version and
the processor's instructions. Machines that share a home folder therefore never load each other's code.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from rbflex_evo.spaces import RbflexEvoError
from rbflex_evo.spaces.cache_folder import cache_folder

SOURCE = Path(__file__).with_name("fused.c")
SOURCES = [SOURCE, *sorted(SOURCE.parent.glob("*.h"))]
# Sums may be reordered, so that they can be vectorised; NaN and infinity keep their meaning.
FLAGS = (
    "-O3", "-std=c11", "-shared", "-fPIC",
    "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-fno-math-errno", "-ffp-contract=fast",
)  # fmt: skip
WHOLE = {"float": "int32_t", "double": "int64_t"}
TARGETS = (("-march=native",), ("-mcpu=native",), ())


class NativeTerm(ctypes.Structure):
    """Summand of `combine`, as `struct term` in fused.c."""

    _fields_ = [
        ("kind", ctypes.c_long),
        ("convolution", ctypes.c_long),
        ("inputs", ctypes.c_long),
        ("height", ctypes.c_long),
        ("width", ctypes.c_long),
        ("source", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
    ]


class NativeLayer(ctypes.Structure):
    """Sizes of a convolution, as `struct layer` in gradients.h."""

    _fields_ = [
        (name, ctypes.c_long)
        for name in ("height", "width", "inputs", "down", "across", "outputs", "high", "wide", "stride", "padding")
    ]


class NativeError(RbflexEvoError, RuntimeError):
    """The kernels cannot be compiled or loaded on this machine; the message is the reason."""


def find_compiler() -> str | None:
    """Returns the path of the C compiler: ``CC``, cc, gcc or clang; None if there is none."""
    return next(filter(None, map(shutil.which, filter(None, (os.environ.get("CC"), "cc", "gcc", "clang")))), None)


@cache
def load(real: str) -> ctypes.CDLL:
    """Returns the kernels for ``float`` or ``double``, compiled on the first use on this machine.

    Raises:
        NativeError: If there is no compiler, or the compiler or the cache folder fails.
    """
    compiler = find_compiler()
    if compiler is None:
        raise NativeError("no C compiler was found (cc, gcc, clang or the variable CC)")
    try:
        target, predefined = _target(compiler)
        command = [compiler, *FLAGS, *target, f"-DREAL={real}", f"-DWHOLE={WHOLE[real]}"]
        text = b"\0".join(source.read_bytes() for source in SOURCES)
        name = hashlib.sha256(b"\0".join([text, predefined, " ".join(command).encode()])).hexdigest()[:32]
        library = cache_folder() / "native" / f"fused-{name}.so"
        if not library.exists():
            _compile(command, library)
        return _typed(ctypes.CDLL(str(library)))
    except (OSError, subprocess.SubprocessError) as error:
        raise NativeError(f"the compiled kernels cannot be made or loaded: {error}") from None


def _target(compiler: str) -> tuple[tuple[str, ...], bytes]:
    """Returns the compiler's flags for this processor, and its predefined macros with them."""
    for flags in TARGETS:
        found = subprocess.run([compiler, *flags, "-dM", "-E", "-x", "c", os.devnull], capture_output=True, timeout=60)
        if found.returncode == 0:
            return flags, found.stdout
    raise NativeError(f"{compiler} does not compile C: {_last_line(found.stderr)}")


def _compile(command: list[str], library: Path) -> None:
    library.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        done = subprocess.run([*command, str(SOURCE), "-o", str(made)], capture_output=True, timeout=300)
        if done.returncode != 0:
            raise NativeError(f"{command[0]} failed on {SOURCE.name}: {_last_line(done.stderr)}")
        # Several processes may compile at once; each moves a complete file to its place.
        os.replace(made, library)


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed no message"


def _typed(library: ctypes.CDLL) -> ctypes.CDLL:
    long, double, pointer = ctypes.c_long, ctypes.c_double, ctypes.c_void_p
    terms, layer = ctypes.POINTER(NativeTerm), ctypes.POINTER(NativeLayer)
    signatures = {
        "lanes": [],
        "convolve": [long] * 6 + [pointer] * 4 + [long],
        "combine": [long] * 5 + [terms, double] + [pointer] * 4 + [long],
        "reduce_rows": [pointer] + [long] * 3 + [pointer, double, pointer, pointer, long],
        "reduce_signs": [pointer] + [long] * 3 + [pointer, pointer, long],
        "reduce_patterns": [pointer] + [long] * 3 + [pointer],
        "reduce_spectra": [pointer] + [long] * 4 + [pointer, pointer, long],
        "weigh": [long, layer, long] + [pointer] * 4 + [long],
        "normalise": [long] * 4 + [pointer] * 3 + [double] * 2 + [pointer] * 5 + [long],
        "normalise_back": [long] * 4 + [pointer] * 8 + [long],
        "normalise_twice": [long] * 4 + [pointer] * 11 + [long],
    }
    for name, arguments in signatures.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, long
    return library
