"""Where CUDA kernels run: how sources are put together, what a launch refuses, and in which words a GPU is missed."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import kernels
from kernels import backends, transfer
from kernels.cuda import device as device_module
from kernels.cuda.device import Device, Emulated, Gpu, source, too_little_memory, why_no_gpu

GIB = 2**30


def test_each_included_file_comes_once_and_lines_keep_their_numbers():
    text = source("deconv_step.cu")
    assert '#include "' not in text
    for needed in ("struct Geometry {", "struct Tile {", "struct Gathered {", "deconv_tile_##BM"):
        assert text.count(needed) == 1
    lines = text.splitlines()
    number, file = 0, ""
    for line in lines:
        if line.startswith("#line "):
            number, file = int(line.split()[1]) - 1, line.split('"')[1]
            continue
        number += 1
        original = (device_module.FOLDER / file).read_text().splitlines()
        assert number > len(original) or line in (original[number - 1], ""), f"{file}:{number}"


def test_every_file_includes_nothing_but_our_own():
    for path in device_module.FOLDER.glob("*.cu"):
        assert 'extern "C" __global__' in source(path.name)
        assert not any(line.startswith("#include") for line in source(path.name).splitlines()), f"{path.name} includes a header"


class Recorder(Device):
    """A device that compiles nothing and remembers the launches."""

    arrays = np

    def __init__(self):
        super().__init__()
        self.launches = []
        self.function = SimpleNamespace(max_dynamic_shared_size_bytes=0)

    def compiled(self, text, file, options):
        function = self.function

        class Callable:
            def __setattr__(self, name, value):
                setattr(function, name, value)

            def __call__(_, grid, block, args, shared_mem):
                self.launches.append((grid, block, args, shared_mem))

        return SimpleNamespace(get_function=lambda name: Callable())


def test_much_shared_memory_is_asked_for():
    """48 KB come unasked, less what a kernel declares itself, such as the phases of to_colours.cu."""
    recorder = Recorder()
    recorder.launch("packing.cu", "pack_filters", (1,), (32, 8), (), 40 * 1024)
    assert recorder.function.max_dynamic_shared_size_bytes == 0
    recorder.launch("packing.cu", "pack_filters", (1,), (32, 8), (), 48 * 1024 - 4)
    assert recorder.function.max_dynamic_shared_size_bytes == 48 * 1024 - 4
    assert [launch[3] for launch in recorder.launches] == [40 * 1024, 48 * 1024 - 4]


def test_a_launch_refuses_what_a_gpu_would_misread():
    recorder = Recorder()
    with pytest.raises(ValueError, match="pack_filters: a grid of 65536 blocks along y; a GPU takes 1 to 65535"):
        recorder.launch("packing.cu", "pack_filters", (1, 65536), (32,), ())
    with pytest.raises(ValueError, match="a grid of 0 blocks along x"):
        recorder.launch("packing.cu", "pack_filters", (0,), (32,), ())
    for number in (3, 0.5, np.float64(0.5)):
        with pytest.raises(TypeError, match=r"is Python's; say np\.int32 or np\.float32"):
            recorder.launch("packing.cu", "pack_filters", (1,), (32,), (number,))
    assert not recorder.launches


def test_tables_are_built_once_and_not_kept_for_ever():
    recorder, built = Recorder(), []

    def build(key):
        built.append(key)
        return np.array([key])

    for key in (*range(device_module.MOST_TABLES), 0, 7, device_module.MOST_TABLES, 1, 0):
        assert recorder.table(("t", key), lambda key=key: build(key))[0] == key
    assert built == [*range(device_module.MOST_TABLES), device_module.MOST_TABLES, 0]  # 0 was the oldest


def fake_cupy(devices=1, runtime=13020, driver=13000, nvrtc=None, fails=False, allocation=None):
    """A stand-in for CuPy as it shows itself on machines we do not have."""

    class CUDARuntimeError(RuntimeError):
        pass

    class OutOfMemoryError(MemoryError):
        pass

    def device_count():
        if fails:
            raise CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
        return devices

    def version():
        if nvrtc:
            raise nvrtc
        return 13, 0

    def empty(shape, dtype):
        if allocation:
            raise OutOfMemoryError
        return np.full(shape, 7, dtype)

    modules = []
    cupy = SimpleNamespace(
        __version__="14.2.0",
        empty=empty,
        asarray=np.asarray,
        RawModule=lambda code, options: modules.append((code, options)) or "module",
        modules=modules,
        cuda=SimpleNamespace(
            runtime=SimpleNamespace(
                CUDARuntimeError=CUDARuntimeError,
                getDeviceCount=device_count,
                getDevice=lambda: 0,
                runtimeGetVersion=lambda: runtime,
                driverGetVersion=lambda: driver,
                memGetInfo=lambda: allocation,
            ),
            Device=lambda: SimpleNamespace(attributes={"MaxSharedMemoryPerBlockOptin": 101376}),
            nvrtc=SimpleNamespace(getVersion=version),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        ),
    )
    return cupy


@pytest.mark.parametrize(
    ("cupy", "words"),
    [
        (fake_cupy(), None),
        (fake_cupy(devices=0), "shows no GPU; look at what `nvidia-smi` says, and at CUDA_VISIBLE_DEVICES"),
        (fake_cupy(fails=True, driver=0), "CuPy 14.2.0 finds no NVIDIA driver; install one for CUDA 13 or newer"),
        (fake_cupy(fails=True, driver=12080), "needs a driver for CUDA 13, the one installed is for CUDA 12; install a newer"),
        (fake_cupy(fails=True, driver=12080), "pip install cupy-cuda12x"),
        (fake_cupy(fails=True), "the NVIDIA driver says: cudaErrorInsufficientDriver"),
        (fake_cupy(nvrtc=RuntimeError("libnvrtc.so.13")), r"NVRTC \(libnvrtc.so.13\); pip install nvidia-cuda-nvrtc"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_missed_in_words(cupy, words, monkeypatch):
    reason = why_no_gpu(cupy)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    if words is None:
        assert reason is None
        assert Gpu().arrays is cupy
        assert Gpu().most_shared_bytes == 101376
    else:
        with pytest.raises(kernels.BackendUnavailable, match=words):
            Gpu()


def test_without_cupy_the_remedy_is_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(backends, "_loaded", {})
    with pytest.raises(
        kernels.BackendUnavailable, match=r"the cuda implementation cannot work here: .*pip install cupy-cuda13x"
    ):
        kernels.use("cuda")


def test_without_a_compiler_the_emulated_ones_say_what_to_install(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(kernels.BackendUnavailable, match=r"there is no g\+\+ on the PATH; install g\+\+"):
        Emulated()


def test_too_little_memory_says_how_much_and_which_batch(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(allocation=(2 * GIB, 8 * GIB)))
    with pytest.raises(MemoryError) as caught:
        Gpu().empty((128, 64, 512, 512))
    assert str(caught.value) == (
        "an array of (128, 64, 512, 512) needs 8.0 GiB of GPU memory; 2.0 GiB of 8.0 GiB are free; use a batch of 32 or fewer"
    )
    words = too_little_memory((4, 1000, 1000), np.dtype(np.float32), 2**20, 8 * GIB)
    assert words.endswith("use a smaller batch or smaller images")
    words = too_little_memory((2, 2, 1, 1000, 1000), np.dtype(np.float32), 2**22, 8 * GIB)  # partial sums
    assert "use a batch of" not in words
    words = too_little_memory((4, 1, 1000, 1000), np.dtype(np.float32), 2**20, 8 * GIB)
    assert words.endswith("needs 15.3 MiB of GPU memory; 1.0 MiB of 8.0 GiB are free; use a smaller batch or smaller images")


def test_too_little_memory_for_what_goes_over_says_so_too(monkeypatch):
    cupy = fake_cupy(allocation=(2 * GIB, 8 * GIB))
    cupy.__name__, cupy.ndarray, cupy.asarray = "cupy", Gpu, lambda array: cupy.empty(array.shape, array.dtype)
    monkeypatch.setattr(transfer, "active", lambda: SimpleNamespace(arrays=cupy))
    with pytest.raises(MemoryError, match=r"needs 8\.0 GiB of GPU memory; 2\.0 GiB of 8\.0 GiB are free; use a batch of 32"):
        kernels.to_device(np.broadcast_to(np.float32(0), (128, 64, 512, 512)))


def test_on_a_gpu_the_prelude_comes_first(monkeypatch):
    cupy = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    gpu = Gpu()
    assert gpu.module("packing.cu") == "module"
    code, options = cupy.modules[0]
    assert code.index("#define DYN_SHARED") < code.index("struct Geometry {") < code.index("pack_filters(")
    assert options == ("--std=c++17",)
