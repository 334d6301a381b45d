"""`python -m tests.gpu`: sound without a GPU. It says what is missing, keeps what was found, and finds what is wrong."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import comparing
import kernel_checks
import numpy as np
import pytest
import strict_device
import training_checks
from gpu import jobs, on_device, parts, sanitizer

import kernels
from kernels import numpy_blas
from kernels.bench import session

ROOT = Path(__file__).parents[1]
F32 = np.dtype(np.float32)


def command(*options, **environment):
    return subprocess.run(
        [sys.executable, "-m", "tests.gpu", *options],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_without_a_gpu_it_says_what_is_missing(tmp_path):
    done = command("--json", str(tmp_path / "gpu.json"), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert "There is no GPU to ask here" in done.stderr
    assert "CUDA_VISIBLE_DEVICES" in done.stderr or "cupy-cuda13x" in done.stderr
    assert not (tmp_path / "gpu.json").exists()


def test_an_unknown_part():
    done = command("--parts", "loader,nonsense")
    assert done.returncode == 2
    assert "no part 'nonsense'; there are environment, loader" in done.stderr


@pytest.mark.compiler
def test_the_emulated_run(tmp_path):
    path = tmp_path / "deep" / "gpu.json"
    done = command("--emulated", "--parts", "environment,loader,net,sanitizer", "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(path.read_text())
    assert record["complete"]
    states = {name: job["state"] for name, job in record["jobs"].items()}
    assert {name for name, state in states.items() if state == "passed"} == {
        "environment",
        "loader",
        "net cuda",
        "net cuda-tf32",
    }
    assert states["sanitizer racecheck"] == "missing"
    assert "python" in json.dumps(record["jobs"]["environment"]).lower()
    assert abs(record["jobs"]["net cuda"]["loss"] - record["jobs"]["net cuda"]["loss_on_cpu"]) < 1e-4


def worker(text):
    """A worker that runs `text`, which may use `findings`."""
    code = "import sys, time, os; from pathlib import Path; sys.path.insert(0, 'tests'); from gpu import parts\n"
    return [sys.executable, "-c", f"{code}findings = parts.Findings(Path(sys.argv[1]), False)\n{text}"]


@pytest.mark.parametrize(
    ("text", "limit_s", "state", "kept", "words"),
    [
        ("findings.save(cases=3)", 60, "passed", 3, ""),
        ("findings.save(cases=3); print('last words'); os._exit(9)", 60, "failed", 3, "last words"),
        ("findings.save(cases=3); findings.fail('relu', ValueError('off'))", 60, "failed", 3, ""),
        ("findings.save(cases=3); print('at work', flush=True); time.sleep(99)", 3, "stopped", 3, "at work"),
        ("findings.save(missing='no such device')", 60, "missing", None, ""),
        ("raise RuntimeError('before anything was saved')", 60, "failed", None, "before anything was saved"),
    ],
)
def test_what_a_worker_found_is_kept_however_it_ends(tmp_path, text, limit_s, state, kept, words):
    result = tmp_path / "result.json"
    found = jobs.run_worker([*worker(text), str(result)], result, limit_s)
    assert found["state"] == state
    assert found.get("cases") == kept
    assert words in found.get("output", "")


def test_what_a_stopped_worker_started_is_stopped_too(tmp_path):
    """compute-sanitizer runs the worker as a program of its own."""
    started = tmp_path / "started"
    text = f"import subprocess; subprocess.run(['sh', '-c', 'sleep 5; touch {started}'])"
    began = time.monotonic()
    assert jobs.run_worker([sys.executable, "-c", text], tmp_path / "result.json", 2)["state"] == "stopped"
    assert time.monotonic() - began < 4.5
    time.sleep(5 - (time.monotonic() - began) + 1)
    assert not started.exists()


@pytest.mark.parametrize(("limit_s", "cases"), [(60, 3), (0, 1)])
def test_the_bench_ends_in_words_where_time_does(tmp_path, monkeypatch, limit_s, cases):
    """What was done counts, a peer's failure is not ours, and a case that would be cut off is not begun."""

    def three_cases(plan, save, net_case):
        record = {"rows": []}
        save(record)
        try:
            for number in range(3):
                wrong = "returned zeros" if number == 0 else None
                record["rows"].append({"case": f"c{number}", "implementation": "torch", "ours": False, "rejected": wrong})
                save(record)
        except KeyboardInterrupt:
            raise session.BenchStopped("stopped after 1 of 3 cases", record) from None

    monkeypatch.setattr(session, "run", three_cases)
    findings = parts.Findings(tmp_path / "result.json", True, limit_s)
    parts.bench(findings)
    found = json.loads((tmp_path / "result.json").read_text())
    assert len(found["record"]["rows"]) == cases
    assert found["failures"] == []
    assert found["rejected_peers"] == ["c0 torch: returned zeros"]
    assert found.get("reason") == (None if cases == 3 else "stopped after 1 of 3 cases; there was no time for more")


def test_a_killed_run_leaves_the_parts_that_were_done(tmp_path):
    path = tmp_path / "gpu.json"
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.gpu", "--emulated", "--parts", "environment,correctness", "--json", str(path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 60
    while not path.exists() and time.monotonic() < limit:
        time.sleep(0.05)
    running.kill()
    running.wait()
    record = json.loads(path.read_text())
    assert record["jobs"]["environment"]["state"] == "passed"
    assert not record["complete"]


def test_no_time_left(tmp_path):
    done = command("--emulated", "--parts", "environment", "--budget", "1", "--json", str(tmp_path / "gpu.json"))
    assert done.returncode == 0
    job = json.loads((tmp_path / "gpu.json").read_text())["jobs"]["environment"]
    assert job == {"state": "left out", "reason": "the budget of 1 s is spent"}


@pytest.fixture
def checks_on_device(monkeypatch):
    """`kernel_checks` reaching an implementation whose arrays refuse NumPy's."""
    modules = comparing, kernel_checks, training_checks
    for module in modules:
        monkeypatch.setattr(module, "kernels", kernels)
    on_device.install(*modules)
    with strict_device.implementation(monkeypatch) as crossings:
        yield crossings


@pytest.mark.parametrize(("check", "cases"), kernel_checks.CHECKS, ids=[check.__name__ for check, _ in kernel_checks.CHECKS])
def test_the_checks_pass_through_a_device(checks_on_device, check, cases):
    for case in cases[:3]:
        check(case, 3, F32)
    assert checks_on_device["to device"] > 0


def planted(monkeypatch, name, wrong):
    monkeypatch.setattr(strict_device.Operations, name, staticmethod(strict_device._on_device(wrong)))


def relu_in_place(x):
    x *= x > 0
    return x.copy()


def half_an_update(w, v, dw, rate, momentum, decay):
    numpy_blas.sgd_update(w, v, dw, rate, momentum, decay)
    w -= v


@pytest.mark.parametrize(
    ("operation", "wrong", "words"),
    [
        ("relu", relu_in_place, "an input on the device was modified"),
        ("relu", lambda x: x.copy(), "not the same bits"),
        ("sgd_update", half_an_update, "sgd_update: w"),
        ("renormalise_filters", lambda w, radius: None, "renormalise_filters"),
        ("maxpool2d", lambda x, *rest: numpy_blas.maxpool2d(-x, *rest), "maxpool2d"),
    ],
)
def test_planted_bugs_are_found_through_a_device(tmp_path, monkeypatch, checks_on_device, operation, wrong, words):
    planted(monkeypatch, operation, wrong)
    findings = parts.Findings(tmp_path / "result.json", False)
    for check, cases in kernel_checks.CHECKS_OF[operation]:
        for case in cases[1:3]:
            parts.tried(findings, f"{check.__name__} {case}", lambda: check(case, 3, F32))  # noqa: B023
    failures = json.loads((tmp_path / "result.json").read_text())["failures"]
    assert any(words in failure for failure in failures)


def test_outputs_are_filled_with_nan_before_a_kernel_writes(monkeypatch):
    class Device:
        def empty(self, shape, dtype=np.float32):
            return np.zeros(shape, dtype)

    class Operations:
        device = Device()

    monkeypatch.setattr(kernels.backends, "_active", kernels.backends.Loaded("one", (F32,), Operations(), np))
    on_device.fill_outputs_with_nan()
    assert np.isnan(Operations.device.empty((2, 3))).all()
    assert (Operations.device.empty((2, 3), np.uint8) == 255).all()


def test_a_lost_device_ends_the_checks(tmp_path):
    findings = parts.Findings(tmp_path / "result.json", False)

    class CUDARuntimeError(RuntimeError):
        pass

    def illegal():
        raise CUDARuntimeError("cudaErrorIllegalAddress")

    assert parts.tried(findings, "relu", lambda: None)
    assert not parts.tried(findings, "conv2d", illegal)
    assert findings.values["failures"][0].startswith("conv2d: CUDARuntimeError: cudaErrorIllegalAddress (test_gpu_command.py:")


@pytest.mark.parametrize(
    ("script", "state", "words"),
    [
        ("echo '========= COMPUTE-SANITIZER'; shift 8; exec \"$@\"", "passed", ""),
        ("echo '========= Invalid __global__ write of size 4 bytes'; exit 7", "failed", "Invalid __global__ write"),
        ("echo '========= Error: Device not supported.'; exit 1", "missing", "does not support this device"),
    ],
)
def test_what_compute_sanitizer_reports(tmp_path, monkeypatch, script, state, words):
    program = tmp_path / "compute-sanitizer"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sanitizer, "find", lambda: str(program))
    monkeypatch.setattr(sanitizer, "worker_command", lambda name, result, emulated: [*worker("findings.save()"), str(result)])
    found = sanitizer.run("memcheck", tmp_path / "result.json", 60, False)
    assert found["state"] == state
    assert words in json.dumps(found)


def test_without_compute_sanitizer(tmp_path, monkeypatch):
    monkeypatch.setattr(sanitizer, "find", lambda: None)
    found = sanitizer.run("memcheck", tmp_path / "result.json", 60, False)
    assert found["state"] == "missing"
    assert "CUDA toolkit" in found["missing"]
