"""From CUDA source text to a loaded library: preprocess, find the kernels, compile, place shared arrays, link."""

import ctypes
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kernels.emulator import binary, compiler
from kernels.emulator.assembly import SharedArray, place_shared_arrays
from kernels.emulator.source import KernelText, kernels_in, name_dynamic_shared, shared_names

NO_PTX = (
    "inline PTX runs on a GPU only; here cp_async, cp_async_commit, cp_async_wait, to_tf32 and mma_tf32_16x8x8 are functions, "
    "and other assembly can stand inside #ifndef MINIZF_CPU"
)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel: its name from the text, the rest from the compiler."""

    name: str
    kind: str  # "float", "signed", "unsigned", "bool", "struct", "void": of the value, or of what it points to
    bytes: int
    alignment: int
    pointer: bool
    constant: bool


@dataclass(frozen=True)
class BuiltKernel:
    """A kernel ready to be launched."""

    name: str
    parameters: tuple[Parameter, ...]
    shared: tuple[SharedArray, ...]
    call: int  # address of the function that calls it


@dataclass(frozen=True)
class BuiltModule:
    """A loaded library and its kernels."""

    path: Path
    file: str  # the name its lines carry
    runtime: ctypes.CDLL
    library: ctypes.CDLL
    parts: binary.Library
    kernels: dict[str, BuiltKernel]
    not_extern_c: tuple[str, ...]
    warnings: str  # what g++ remarked


def file_name(name: str) -> str:
    return re.sub(r"[^\w.\-]", "_", Path(name).name) or "kernel.cu"


def preprocess(code: str, options: tuple[str, ...], file: str) -> str:
    text = f'#line 1 "{file}"\n{code}\n'
    return compiler.run([compiler.compiler(), *compiler.LANGUAGE, "-E", "-P", *options, "-"], Path.cwd(), file, text).stdout


def build_module(code: str, options: tuple[str, ...], name: str, checked: bool) -> BuiltModule:
    path, file = compiler.compiler(), file_name(name)
    options = compiler.accepted(options)
    runtime, runtime_key = compiler.runtime()
    preprocessed = preprocess(code, options, file) if "#include" in code else ""
    parts = (runtime_key, code, preprocessed, file, str(checked), compiler.OWN_HEADERS, *options)
    key = f"{Path(file).stem}-" + compiler.digest(*parts)
    folder, facts = compiler.cached(key, lambda folder: _compile(folder, path, code, options, file, checked, runtime))
    return _load(folder / "kernels.so", file, runtime, facts)


def _compile(
    folder: Path, path: str, code: str, options: tuple[str, ...], file: str, checked: bool, runtime: Path
) -> dict[str, Any]:
    preprocessed = preprocess(code, options, file)
    kernels = kernels_in(preprocessed)
    launchable = [kernel for kernel in kernels if kernel.extern_c]
    table = ", ".join(f"MINIZF_KERNEL({kernel.name})" for kernel in launchable)
    (folder / file).write_text(f'{name_dynamic_shared(code)}\n#line 1 "the table of kernels"\nMINIZF_KERNELS({table})\n')
    mode = compiler.CHECKED if checked else (*compiler.FAST, *compiler.native_flags(path))
    device = ("-include", str(compiler.HERE / "device" / "cuda.h"), f"-I{Path.cwd()}")
    carets = ["-fno-diagnostics-show-caret"] * ("#line" in code)  # with lines renumbered g++ would show other ones
    flags = [
        *compiler.LANGUAGE,
        *compiler.COMMON,
        *mode,
        *compiler.WARNINGS,
        *carets,
        *device,
        *options,
        f"-ffile-prefix-map={folder}=.",
        f"-ffile-prefix-map={compiler.HERE}={compiler.OWN_HEADERS}",  # the cache is shared by all copies of this package
    ]
    warnings = compiler.run([path, *flags, "-S", file, "-o", "kernels.s"], folder, file).stderr
    assembly = (folder / "kernels.s").read_text()
    assembly, shared = place_shared_arrays(assembly, shared_names(preprocessed), [kernel.name for kernel in launchable])
    (folder / "kernels.s").write_text(assembly)
    link = ["-shared", "-Wl,-z,now", "-x", "none", str(runtime), "-Wl,-rpath," + str(runtime.parent)]
    try:
        compiler.run([path, "-x", "assembler", "kernels.s", *link, "-o", "kernels.so"], folder, file)
    except compiler.CompileError as error:
        raise compiler.CompileError(f"{error}\n{NO_PTX}" if "asm" in preprocessed else str(error)) from None
    (folder / "kernels.s").unlink()
    return {
        "warnings": compiler.tidy(warnings),
        "kernels": [asdict(kernel) for kernel in kernels],
        "shared": {kernel: [asdict(array) for array in arrays] for kernel, arrays in shared.items()},
    }


def _load(path: Path, file: str, runtime: Path, facts: dict[str, Any]) -> BuiltModule:
    runtime_library = binary.open_runtime(str(runtime))
    library, parts, records = binary.open_kernels(str(path))
    texts = [KernelText(kernel["name"], tuple(kernel["parameters"]), kernel["extern_c"]) for kernel in facts["kernels"]]
    kernels = {}
    for text in texts:
        if text.name not in records:
            continue
        record = records[text.name]
        described = [record.parameters[i] for i in range(record.parameter_count)]
        names = text.parameters if len(text.parameters) == len(described) else [f"number {i}" for i in range(len(described))]
        parameters = tuple(
            Parameter(name, p.kind.decode(), p.bytes, p.alignment, bool(p.pointer), bool(p.constant))
            for name, p in zip(names, described, strict=True)
        )
        shared = tuple(SharedArray(**array) for array in facts["shared"][text.name])
        kernels[text.name] = BuiltKernel(text.name, parameters, shared, record.call)
    others = tuple(text.name for text in texts if not text.extern_c)
    return BuiltModule(path, file, runtime_library, library, parts, kernels, others, facts["warnings"])
