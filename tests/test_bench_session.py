"""Whole runs: a record after every case, going on after Ctrl-C, and files that are none."""

import copy
import json

import numpy as np
import pytest
from bench_records import BRIEF, CONVOLUTIONS, MIXED, told_roofs  # noqa: F401

import kernels
from kernels import numpy_blas
from kernels.bench import session
from kernels.bench.peers import PeerMissing
from kernels.bench.problems import Net
from kernels.bench.session import BenchStopped, Plan, run

pytestmark = pytest.mark.usefixtures("told_roofs")


def test_a_run_records_every_case_as_it_goes():
    saved, shown = [], []
    record = run(
        MIXED, lambda record: saved.append(json.loads(json.dumps(record))), lambda text, done: shown.append((text, done))
    )
    cases = [problem.name for problem in MIXED.problems()]
    assert [len({row["case"] for row in kept["rows"]}) for kept in saved] == list(range(len(cases) + 1))
    assert [kept["complete"] for kept in saved] == [False] * len(cases) + [True]
    assert list(dict.fromkeys(row["case"] for row in record["rows"])) == cases
    assert {(row["implementation"], row["caches"]) for row in record["rows"]} == {("numpy", "warm"), ("reference", "warm")}
    for row in record["rows"]:
        assert row["rejected"] is None
        assert row["median_s"] == pytest.approx(np.median(row["times_s"]))
        assert row["interval_s"][0] <= row["median_s"] <= row["interval_s"][1]
        assert len(row["times_s"]) >= 2
        assert row["checked"]["whole result"] == "NumPy in float64"
    assert [done for _, done in shown] == sorted(done for _, done in shown)
    assert any(text.startswith("tiny/conv/conv2d: checking numpy") for text, _ in shown)
    assert {text for text, _ in shown} >= set(cases)
    assert record["warnings"] == ["told: a warning"]


def test_ctrl_c_keeps_what_is_done_and_the_run_goes_on(monkeypatch, tmp_path):
    full = [problem.name for problem in MIXED.problems()]
    true, calls = session.run_case, []

    def interrupted(case, *rest):
        calls.append(case.problem.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return true(case, *rest)

    monkeypatch.setattr(session, "run_case", interrupted)
    path = tmp_path / "record.json"
    with pytest.raises(BenchStopped, match=f"stopped after 2 of {len(full)} cases") as stop:
        run(MIXED, lambda record: path.write_text(session.as_json(record)))
    assert {row["case"] for row in stop.value.record["rows"]} == set(full[:2])
    before = session.read(path)["rows"]
    calls[:] = []
    monkeypatch.setattr(session, "run_case", lambda case, *rest: calls.append(case.problem.name) or true(case, *rest))
    plan, earlier = session.resume(path)
    assert plan == MIXED
    record = run(plan, earlier=earlier)
    assert calls == full[2:]
    assert record["complete"]
    assert record["rows"][: len(before)] == before
    assert list(dict.fromkeys(row["case"] for row in record["rows"])) == full


def test_a_complete_record_or_another_machine_cannot_be_gone_on_with(tmp_path):
    path = tmp_path / "record.json"
    record = run(CONVOLUTIONS)
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="complete; nothing is left to time"):
        session.resume(path)
    record["complete"] = False
    record["environment"] = record["environment"] | {"cpu": "another", "packages": {}}
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="begun with another cpu, packages"):
        session.resume(path)
    record["settings"]["settings"]["least_runs"] = "many"
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="its settings are not of this version"):
        session.resume(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"format": "minizf bench 1", "rows": [', "not readable as JSON .*cut off"),
        (b"\xff\xfe\x00", "not readable as JSON"),
        (b"[1, 2]", "no record of `minizf bench`"),
        (b'{"format": "minizf bench 0"}', "no record of `minizf bench` of this version"),
        (b'{"format": "minizf bench 1", "rows": []}', r"an incomplete record \(settings, environment, seconds\)"),
        (b'{"format": "minizf bench 1", "rows": [{}], "settings": {}, "environment": {}, "seconds": 0}', "rows without a case"),
    ],
)
def test_files_that_are_no_records_are_refused_in_words(tmp_path, content, words):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        session.read(path)


def test_a_record_survives_its_text(tmp_path):
    record = run(CONVOLUTIONS)
    path = tmp_path / "record.json"
    for rows in (record["rows"], []):
        path.write_text(session.as_json(record | {"rows": rows}))
        assert session.read(path) == json.loads(json.dumps(record | {"rows": rows}))
    assert len(session.as_json(record).splitlines()) - len(path.read_text().splitlines()) == len(record["rows"]) - 1


def test_a_plan_survives_its_record():
    plan = Plan(("tiny", "seven"), ("conv2d",), ("numpy",), None, 3, BRIEF)
    assert Plan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan


def test_a_full_disk_ends_the_run_before_anything_is_timed(monkeypatch):
    timed = []
    monkeypatch.setattr(session, "run_case", lambda *arguments: timed.append(arguments))

    def full(record):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run(CONVOLUTIONS, full)
    assert not timed


def test_who_fails_is_rejected_and_the_others_go_on(monkeypatch):
    def fails(*arguments):
        raise MemoryError("no room for\nthe columns")

    monkeypatch.setattr(kernels.reference, "conv2d", fails)
    plan = Plan(("tiny",), ("conv2d",), ("reference", "numpy"), (), settings=BRIEF)
    rows = {row["implementation"]: row for row in run(plan)["rows"] if row["case"] == "tiny/conv/conv2d"}
    assert rows["reference"]["rejected"] == "failed: MemoryError: no room for"
    assert rows["numpy"]["median_s"] > 0


def test_a_failure_in_the_middle_of_timing_is_rejected_too(monkeypatch):
    true, calls = numpy_blas.conv2d, []

    def fails_later(*arguments):
        calls.append(1)
        if len(calls) == 5:  # two whole checks in float64 and two calls came before
            raise RuntimeError("later")
        return true(*arguments)

    monkeypatch.setattr(numpy_blas, "conv2d", fails_later)
    rows = run(CONVOLUTIONS)["rows"]
    assert "failed: RuntimeError: later" in rows[0]["rejected"]
    assert rows[1]["rejected"] is None


def test_a_case_too_large_for_memory_says_which_and_what_to_do(monkeypatch):
    def no_room(*arguments):
        raise MemoryError("Unable to allocate 900 GiB")

    monkeypatch.setattr(session, "Case", no_room)
    with pytest.raises(MemoryError, match="tiny/conv/conv2d: too little memory for its arrays; give a smaller --batch"):
        run(CONVOLUTIONS)


def test_unknown_and_missing_contestants():
    with pytest.raises(ValueError, match="unknown implementation 'nmba'"):
        run(Plan(("tiny",), implementations=("nmba",)))
    with pytest.raises(ValueError, match="no peer 'tensorflow'; there are: torch"):
        run(Plan(("tiny",), implementations=("numpy",), peers=("tensorflow",)))
    with pytest.raises(PeerMissing, match="torch-tf32 needs an implementation on a GPU"):
        run(Plan(("tiny",), implementations=("numpy",), peers=("torch-tf32",)))


def test_a_peer_that_is_not_installed_is_left_out_unless_asked_for(monkeypatch):
    def absent(name, gpu, threads):
        raise PeerMissing(f"{name} is not here")

    monkeypatch.setattr(session.peers, "find", absent)
    said = []
    record = run(Plan(("tiny",), ("lrn",), ("numpy",), None, settings=BRIEF), remark=said.append)
    assert record["missing"] == {"torch": "torch is not here"}
    assert "torch is left out: torch is not here" in said
    with pytest.raises(PeerMissing):
        run(Plan(("tiny",), ("lrn",), ("numpy",), ("torch",), settings=BRIEF))


def test_networks_are_timed_only_by_who_knows_them():
    plan = Plan(("zfnet64",), ("training_step", "lrn_grad"), ("numpy",), (), 1, BRIEF)
    asked = []

    def refuse(problem, who):
        asked.append((problem.shape, [one.name for one in who]))
        raise KeyboardInterrupt

    assert {row["operation"] for row in run(plan)["rows"]} == {"lrn_grad"}
    with pytest.raises(BenchStopped):
        run(plan, net_case=refuse)
    assert asked == [(Net("zfnet64", 1, 10), ["numpy"])]


def test_rows_are_what_was_called(monkeypatch):
    """Every timed call is one call of the implementation: two before timing, one more for each of warm caches, none hidden."""
    true, calls = kernels.reference.lrn, []
    monkeypatch.setattr(kernels.reference, "lrn", lambda *arguments: calls.append(copy.copy(arguments[0])) or true(*arguments))
    row = run(Plan(("tiny",), ("lrn",), ("reference",), (), settings=BRIEF))["rows"][0]
    assert len(calls) == 2 + 2 * len(row["times_s"])
    assert len({array.tobytes() for array in calls}) == len(row["times_s"]) + 2  # new inputs each time; warm calls see the last


@pytest.mark.compiler
def test_emulated_kernels_are_checked_and_counted_and_not_timed():
    rows = run(Plan(("tiny",), ("relu_maxpool",), ("cuda-emulated",)))["rows"]
    assert [row["implementation"] for row in rows] == ["cuda-emulated"]
    assert rows[0]["median_s"] is None
    assert rows[0]["rejected"] is None
    traffic = rows[0]["checked"]["traffic"]
    assert traffic["launches"] >= 1
    assert rows[0]["bytes"] <= traffic["global read bytes"] + traffic["global write bytes"] < 10 * rows[0]["bytes"]
    assert session.default_sets(("cuda-emulated",)) == ("tiny",)
    assert session.default_sets(("numba",)) == ("zfnet64",)
