"""Fingerprints of code and of values that are not of this package, so that an answer about changed code is never reused.

    fingerprint(thing) = hash of the graph of everything that `thing` can reach:
        function or class     its bytecode and constants, and the globals, closures, defaults and imports that it reads
        object                its class, and its state as pickle would save it
        module of torch       its tree, the settings of each layer, shapes of weights, values of buffers and vectors

Code of installed packages counts by the name, version and recorded files of its distribution, and by what replaces its functions
while the program runs; code of this package by its name. Comments, docstrings and names of classes and functions do not count,
unless the code reads names. What cannot be described raises `Unsure`. Bytecode instead of source covers notebooks, too.
"""

from __future__ import annotations

import bisect
import copyreg
import dis
import enum
import functools
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = "rbflex_evo"
# Raised when the same code gets another fingerprint, so that it is not said to have changed.
VERSION = 2

# Names whose use may read what no fingerprint sees: files, the environment, and code or values that are looked up by name.
READS = frozenset(
    "open environ getenv read_text read_bytes load loadtxt genfromtxt fromfile memmap urlopen read_csv "
    "load_state_dict_from_url from_pretrained argv getcwd globals eval exec __import__ import_module".split()
)

# Names whose use may read the name or the documentation of a class or a function.
NAMES = frozenset("__name__ __qualname__ __module__ __doc__ repr str format vars dir locals".split())

# More objects than this are a data set or an application, not the code of a space or a score.
LARGEST = 200_000

_SCALARS = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented), range, slice)
_SIMPLE = bool | int | float | str
_DESCRIPTORS = (
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
)
_BEHAVIOUR = (types.FunctionType, property, staticmethod, classmethod, functools.cached_property)
# Entries of a class that carry no behaviour of their own, or differ between processes.
_IDLE = frozenset(["__annotate__", "__annotate_func__", "_abc_impl", "_autograd_function_id"])
_TREE = ("_parameters", "_buffers", "_modules")
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


class Unsure(Exception):
    """Raised if a fingerprint cannot be given; the message is the reason, in half a sentence."""


def is_ours(kind: type) -> bool:
    """Returns True if a class is defined in this package, whose versions identify its code."""
    return kind.__module__.partition(".")[0] == PACKAGE


def strangers(thing: object) -> tuple[object, ...]:
    """Returns what of a component is not of this package: the component, or the code that one of this package was given."""
    if isinstance(thing, type):
        return () if is_ours(thing) else (thing,)
    given: tuple[object, ...] = getattr(thing, "foreign_code", ())
    return given if is_ours(type(thing)) else (thing,)


@dataclass(frozen=True)
class Described:
    """A class that was described before.

    Attributes:
        digest: Hash of everything that it can reach, without names.
        names: Names and documentation of the classes and functions among that.
        reads_names: Whether code among that reads names.
    """

    digest: str
    names: tuple[object, ...]
    reads_names: bool


@dataclass
class Known:
    """What several fingerprints have in common; to be dropped before code may change.

    Attributes:
        classes: Classes that were described.
        replaced: By name of an installed module, what replaces its functions and classes.
    """

    classes: dict[type, Described] = field(default_factory=dict)
    replaced: dict[str, tuple[object, ...]] = field(default_factory=dict)


def fingerprint(*things: object, known: Known | None = None) -> str:
    """Returns the SHA-256 of everything that the things can reach, equal in every process.

    Args:
        *things: Functions, classes, objects or networks.
        known: What fingerprints before found, which is read and extended; None to follow each class itself.

    Raises:
        Unsure: If something cannot be described.
    """
    walk = _Walk(known or Known(), followed=known is None)
    digest = walk.digest(things)
    names = walk.names if walk.reads_names else []
    return f"{VERSION}:{_hashed(repr((digest, names)).encode())}"


def has_changed(before: str | None, now: str | None) -> bool | None:
    """Returns whether two fingerprints are of different things, or None if that cannot be told.

    They may also be hashes of other things, without a version.
    """
    if before is None or now is None or before.rpartition(":")[0] != now.rpartition(":")[0]:
        return None
    return before != now


def foreign(things: Mapping[str, object]) -> dict[str, str | None]:
    """Returns the fingerprints of those things that are not of this package, by name; None where none can be given."""
    found: dict[str, str | None] = {}
    for name, thing in things.items():
        strange = strangers(thing)
        if not strange:
            continue
        try:
            found[name] = fingerprint(*strange)
        except Unsure:
            found[name] = None
    return found


class _Walk:
    """Numbers the objects of a graph in the order in which they are met, and describes each by its content and these numbers."""

    def __init__(self, known: Known, *, followed: bool) -> None:
        self.names: list[object] = []
        self.reads_names = False
        self._known = known
        self._followed = followed
        self._numbers: dict[int, int] = {}
        self._waiting: deque[object] = deque()
        self._met: list[object] = []

    def digest(self, things: Iterable[object]) -> str:
        found = hashlib.sha256()
        for thing in things:
            found.update(self._token(thing).encode())
        while self._waiting:
            found.update(f"\n{self._description(self._waiting.popleft())}".encode())
        return found.hexdigest()

    def _token(self, value: object) -> str:
        """Returns the content of an immutable plain value, or the number of an object that is described later."""
        if type(value) in _SCALARS:
            return f"{type(value).__name__}:{value!r}"
        if type(value) is tuple:
            return f"({','.join(map(self._token, value))})"
        if type(value) is frozenset:
            return self._set(value)
        if isinstance(value, type) and not self._followed:
            return self._described(value)
        known = len(self._met)
        number = self._number(value)
        if number == known:
            self._waiting.append(value)
        return f"#{number}"

    def _described(self, kind: type) -> str:
        found = self._known.classes.get(kind)
        if found is None:
            walk = _Walk(self._known, followed=True)
            found = Described(walk.digest([kind]), tuple(walk.names), walk.reads_names)
            self._known.classes[kind] = found
        self.names += found.names
        self.reads_names |= found.reads_names
        return found.digest

    def _number(self, value: object) -> int:
        number = self._numbers.setdefault(id(value), len(self._met))
        if number > LARGEST:
            raise Unsure(f"it reaches more than {LARGEST:,} objects")
        if number == len(self._met):
            # Kept alive, so that no identity is given twice.
            self._met.append(value)
        return number

    def _all(self, kind: str, *values: object) -> str:
        """Returns the description of an object of a kind by what it holds."""
        return f"{kind} {' '.join(map(self._token, values))}"

    def _set(self, values: Iterable[object]) -> str:
        # The order of a set differs between processes.
        return f"set:{sorted(fingerprint(value) for value in values)}"

    def _description(self, value: Any) -> str:
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.GenericAlias):
            return self._reduced(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.CodeType):
            return self._code(value)
        if isinstance(value, types.ModuleType):
            return self._module(value)
        if isinstance(value, types.MethodType):
            return self._all("method", value.__func__, value.__self__)
        if isinstance(value, types.BuiltinFunctionType | types.MethodWrapperType):
            return self._builtin(value)
        if isinstance(value, _DESCRIPTORS):
            return f"descriptor {value.__name__}"
        if isinstance(value, staticmethod | classmethod):
            return self._all(type(value).__name__, value.__func__)
        if isinstance(value, property):
            return self._all("property", value.fget, value.fset, value.fdel)
        if isinstance(value, functools.cached_property):
            return self._all("cached property", value.func)
        if isinstance(value, functools.partial):
            return self._all("partial", value.func, value.args, value.keywords)
        if isinstance(value, types.MappingProxyType):
            return self._all("mapping", dict(value))
        return self._object(value)

    def _object(self, value: Any) -> str:
        if isinstance(value, functools._lru_cache_wrapper):
            return self._all("cached", value.__wrapped__)
        if type(value) is list:
            return self._all("list", *value)
        if type(value) is dict:
            return self._all("dict", *(part for item in value.items() for part in item))
        if type(value) is set:
            return self._set(value)
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value)
        if isinstance(value, enum.Enum):
            return self._all("member", type(value), value.name, value.value)
        torch = sys.modules.get("torch")
        if torch is not None:
            if isinstance(value, torch.nn.Module):
                return self._network(value)
            if isinstance(value, torch.Tensor):
                return self._tensor(value)
            if isinstance(value, torch.dtype | torch.device | torch.Size | torch.layout | torch.memory_format):
                return f"torch:{value}"
        return self._reduced(value)

    def _reduced(self, value: Any) -> str:
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            found: str | tuple[Any, ...] = value.__reduce_ex__(4) if reduce is None else reduce(value)
        except Exception:  # the code of another package may raise anything
            raise Unsure(f"an object of {_named(type(value))} has no state that can be read") from None
        if isinstance(found, str):
            return self._all("global", type(value), found)
        make, arguments, state, items, pairs = (found + (None,) * 3)[:5]
        return self._all("object", make, arguments, state, list(items or ()), list(pairs or ()))

    def _builtin(self, value: Any) -> str:
        owner = value.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            where = _origin(value.__module__, None)
            if where is None:
                raise Unsure(f"{value.__module__}.{value.__qualname__} is compiled code outside installed packages")
            return f"builtin {where} {value.__module__}.{value.__qualname__}"
        return self._all("builtin", value.__name__, owner)

    def _array(self, value: Any) -> str:
        if value.dtype.hasobject:
            return self._all("array", value.shape, value.tolist())
        return f"array {value.dtype.str} {value.dtype.descr} {value.shape} {_hashed(value.tobytes())}"

    def _tensor(self, value: Any) -> str:
        import torch

        kind = f"tensor {type(value).__name__} {value.dtype} {tuple(value.shape)} {value.requires_grad}"
        if value.is_meta:
            return kind
        try:
            data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        except (RuntimeError, TypeError, NotImplementedError):
            raise Unsure(f"a tensor of {value.dtype}, {value.layout}, has no values that can be read") from None
        return f"{kind} {_hashed(data.tobytes())}"

    def _network(self, module: Any) -> str:
        """Describes one layer; its matrices by shape only, because their values are set after the network is built."""
        state = vars(module)
        parts: list[object] = [type(module)]
        for name, parameter in state["_parameters"].items():
            parts.append(name)
            if parameter is None or parameter.dim() < 2:
                parts.append(parameter)
            else:
                shape = tuple(parameter.shape)
                # Tied weights are one object.
                parts.append((self._number(parameter), str(parameter.dtype), shape, parameter.requires_grad))
        for group in ("_buffers", "_modules"):
            for name, value in state[group].items():
                parts += [name, value]
        for group in _HOOKS:
            parts += [group, *state[group].values()] if state.get(group) else []
        settings = (name for name in state if name not in _TREE and not (name.startswith("_") and name.endswith(_BOOKKEEPING)))
        for name in settings:
            parts += [name, state[name]]
        return self._all("layer", *parts)

    def _function(self, function: types.FunctionType) -> str:
        cells = [_content(cell) for cell in function.__closure__ or ()]
        where = _origin(function.__globals__.get("__name__"), function.__code__.co_filename)
        if where is not None:
            line = function.__code__.co_firstlineno
            replaced = self._replaced(function.__module__)
            return self._all("function", where, function.__module__, function.__qualname__, line, *cells, *replaced)
        self.names.append((function.__name__, function.__qualname__, function.__doc__))
        own = dict(vars(function))
        values = list(_globals_of(function))
        return self._all("function", function.__code__, function.__defaults__, function.__kwdefaults__, own, *cells, *values)

    def _code(self, code: types.CodeType) -> str:
        # `sys.modules`; the modules of a network are no such thing.
        by_name = {"sys.modules"} if {"sys", "modules"} <= set(code.co_names) else set()
        reads = sorted(READS.intersection(code.co_names) | by_name)
        if reads:
            raise Unsure(f"{code.co_name}() may read a file, the environment or a value by name ({reads[0]!r})")
        steps = list(dis.get_instructions(code))
        # The body of a class stores its names, which reads none.
        read = {step.argval for step in steps if step.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_GLOBAL")}
        texts = {constant for constant in code.co_consts if isinstance(constant, str)}
        self.reads_names |= not NAMES.isdisjoint(read | texts)
        # A docstring is the first constant, which no instruction reads.
        loaded = any(step.opcode in dis.hasconst and step.arg == 0 for step in steps)
        constants = code.co_consts if loaded else code.co_consts[1:]
        flags = code.co_flags & ~_HAS_DOCSTRING
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, flags)
        variables = (code.co_varnames, code.co_freevars, code.co_cellvars)
        return self._all("code", _hashed(repr(_instructions(code, steps)).encode()), constants, *counts, *variables)

    def _class(self, kind: type) -> str:
        where = _origin(kind.__module__, None)
        if where is not None:
            installed = [base for base in kind.__mro__ if _origin(base.__module__, None) is not None]
            replaced = [item for base in installed for item in self._replaced(base.__module__, base)]
            return self._all("class", where, f"{kind.__module__}.{kind.__qualname__}", vars(kind).get("version"), *replaced)
        # A class that was sent to another process may have another qualified name.
        self.names.append((kind.__name__, kind.__doc__))
        # The machinery of a model of parameters follows from its fields, whose values are given.
        model = hasattr(kind, "__pydantic_core_schema__")
        # Sorted, because a class that was sent to another process may have another order.
        entries = {
            name: value
            for name, value in sorted(vars(kind).items())
            if name not in _IDLE and (isinstance(value, _BEHAVIOUR) or not (model or name.startswith("__")))
        }
        return self._all("class", type(kind), *kind.__bases__, entries)

    def _module(self, module: types.ModuleType) -> str:
        where = _origin(module.__name__, None)
        if where is not None:
            return self._all("module", where, module.__name__, *self._replaced(module.__name__))
        return self._all("module", {name: value for name, value in vars(module).items() if not name.startswith("__")})

    def _replaced(self, module: str, kind: type | None = None) -> tuple[object, ...]:
        """Returns names and values of what is not of an installed package in one of its modules or classes.

        Modules of the package that the module reads are looked at, too, such as `torch.nn.functional` for a layer.
        """
        top = module.partition(".")[0]
        if top in (PACKAGE, "builtins") or top in sys.stdlib_module_names:
            return ()
        if module not in self._known.replaced:
            inside = vars(sys.modules.get(module, object))
            read = {module: inside}
            read |= {m.__name__: vars(m) for m in inside.values() if isinstance(m, types.ModuleType) and _top(m.__name__) == top}
            self._known.replaced[module] = tuple(item for one in sorted(read) for item in _strange(one, read[one], top))
        found = self._known.replaced[module]
        return found if kind is None else (*found, *_strange(kind.__qualname__, vars(kind), top))


_BOOKKEEPING = ("_hooks", "_hooks_with_kwargs", "_hooks_always_called", "_hook", "_non_persistent_buffers_set")


# How a call is prepared, which depends on whether a name was imported in the same cell or file.
_PREPARES = ("PUSH_NULL", "PRECALL", "EXTENDED_ARG", "CACHE")


def _instructions(code: types.CodeType, steps: Sequence[dis.Instruction]) -> list[object]:
    """Returns the instructions of code and its exception handlers, with numbers of instructions for addresses.

    The names of globals are left out, because their values are described with the function.
    """
    kept = [step for step in steps if step.opname not in _PREPARES]
    addresses = [step.offset for step in kept]
    found: list[object] = []
    for step in kept:
        argument: object = step.arg
        if step.opcode in dis.hasjrel or step.opcode in dis.hasjabs:
            argument = bisect.bisect_left(addresses, step.argval)
        elif step.opcode in dis.hasname:
            argument = None if step.opname == "LOAD_GLOBAL" else step.argval
        found.append(("LOAD_ATTR" if step.opname == "LOAD_METHOD" else step.opname, argument))
    for entry in getattr(dis.Bytecode(code), "exception_entries", ()):  # from Python 3.11 on
        places = [bisect.bisect_left(addresses, address) for address in (entry.start, entry.end, entry.target)]
        found.append((*places, entry.depth, entry.lasti))
    return found


# A flag of code from Python 3.13 on.
_HAS_DOCSTRING = 0x4000000


def _top(module: str) -> str:
    return module.partition(".")[0]


def _strange(where: str, values: Mapping[str, object], top: str) -> Iterator[object]:
    """Yields place, name and value of the functions and classes among values that are not of installed packages."""
    for name, value in list(values.items()):
        # Of the type itself, because some objects warn when they are asked for their class.
        if type(value) is types.FunctionType:
            module = value.__globals__.get("__name__")
            filename = value.__code__.co_filename
        elif issubclass(type(value), type):
            module, filename = value.__module__, None
        else:
            continue
        if isinstance(module, str) and _top(module) != top and _origin(module, filename) is None:
            yield from (where, name, value)


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return "empty"


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yields a code object and those of the functions and classes inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _globals_of(function: types.FunctionType) -> Iterator[object]:
    """Yields values of the globals and imports that a function reads, and the names of globals that are not there."""
    for code in _codes(function.__code__):
        steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG", "PUSH_NULL")]
        for i, step in enumerate(steps):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
                there = step.argval in function.__globals__
                yield _used(function.__globals__[step.argval], steps[i + 1 :]) if there else f"builtin {step.argval}"
            elif step.opname == "IMPORT_NAME":
                level = steps[i - 2].argval if i > 1 else 0
                yield from _imported(step.argval, level, steps[i - 1].argval, function.__globals__)


def _used(value: object, following: Iterable[dis.Instruction]) -> object:
    """Returns the value of a global, or of a module what is read of it, unless that is of an installed package."""
    for step in following:
        if not isinstance(value, types.ModuleType) or step.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
            break
        installed = _origin(value.__name__, None) is not None
        # A module of an installed package may import more when it is asked for something.
        if step.argval not in vars(value) if installed else not hasattr(value, step.argval):
            break
        found = getattr(value, step.argval)
        if installed and not isinstance(found, types.ModuleType | _SIMPLE):
            break
        value = found
    return value


def _imported(name: str, level: object, wanted: object, among: Mapping[str, Any]) -> Iterator[object]:
    """Yields what an import statement inside a function reads."""
    depth = level if isinstance(level, int) else 0
    try:
        absolute = importlib.util.resolve_name("." * depth + name, among.get("__package__"))
        top = absolute.partition(".")[0]
        spec = importlib.util.find_spec(top)
        yield name
        installed = PACKAGE if top == PACKAGE else spec and _package_of(top, spec.origin if spec.has_location else None)
        if installed or spec is None:
            # Installed packages need not be imported for their version.
            yield installed or "missing"
            return
        module = importlib.import_module(absolute)
        for part in wanted if isinstance(wanted, tuple) else ():
            yield part
            yield getattr(module, part) if hasattr(module, part) else importlib.import_module(f"{absolute}.{part}")
    except ModuleNotFoundError as error:
        yield f"missing {error.name}"
        return
    except Exception as error:  # a module of others may raise anything when it is imported
        raise Unsure(f"{name!r} cannot be imported ({type(error).__name__})") from None
    if not wanted:
        yield module


def _origin(module: str | None, filename: str | None) -> str | None:
    """Returns the package that identifies the code of a module by its version, or None for code outside installed packages."""
    top = (module or "").partition(".")[0]
    if top in (PACKAGE, "builtins"):
        return top
    files = (getattr(sys.modules.get(name), "__file__", None) for name in (module or "", top))
    file = next(filter(None, files), filename)
    return _package_of(top, None if file is None else str(file))


@functools.lru_cache(maxsize=4096)
def _package_of(top: str, file: str | None) -> str | None:
    if file is None or file.startswith("<"):
        return f"python {sys.version}" if top in sys.stdlib_module_names and top != "__main__" else None
    path = Path(file).resolve()
    paths = sysconfig.get_paths()
    if any(path.is_relative_to(Path(paths[kind]).resolve()) for kind in ("purelib", "platlib")) or _in_site(path):
        return _distribution(top)
    if any(path.is_relative_to(Path(paths[kind]).resolve()) for kind in ("stdlib", "platstdlib")):
        return f"python {sys.version}"
    return None


def _in_site(path: Path) -> bool:
    return bool({"site-packages", "dist-packages"}.intersection(path.parts))


@functools.lru_cache(maxsize=1024)
def _distribution(top: str) -> str | None:
    """Returns name, version and a hash of the recorded files of the distribution with a top-level module; None if none has it."""
    found = _by_name(top)
    if found is None or not _records(found, top):
        names = metadata.packages_distributions().get(top, [])
        found = _by_name(names[0]) if names else None
    if found is None:
        return None
    return f"{found.name} {found.version} {_hashed((found.read_text('RECORD') or '').encode())}"


def _by_name(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _records(distribution: metadata.Distribution, top: str) -> bool:
    recorded = distribution.read_text("RECORD") or ""
    return f"\n{top}/" in f"\n{recorded}" or f"\n{top}." in f"\n{recorded}"
