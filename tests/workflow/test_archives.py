"""Published files survive: old dates, edited code, forced and failed and killed jobs, publishers that are gone."""

import hashlib
import os
import shutil
import signal
import subprocess
import time

import pytest
import torch
import yaml
from http_site import serve
from mini_archives import sbd, tar, voc_trainval
from snakemake_runs import PATIENCE, REPOSITORY, command, environment, jobs_of, run
from test_published_data import COUNTS, INDEX, SMALL, imagenet_archives, table_of_miniatures

from seedbed.data.raw.provide import RECORD
from seedbed.data.raw.unpack import unpack
from seedbed.io.weights import read_weights, write_weights

pytestmark = pytest.mark.workflow
LONG_AGO = 1_340_000_000  # 2012
RULES = ("fetch_source", "unpack_source")


def states(folder):
    """Content and date of every file below a folder but stamps and lock files."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".json", ".lock"))
    return {path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def table_of(tmp_path, archives, site=None):
    return table_of_miniatures(tmp_path, site, archives)


def put(archives, workdir, table):
    """Put files where a person is told to, with the old dates that `mv`, `cp -p` and wget leave."""
    names = yaml.safe_load(table.read_text())["sources"]
    for source, archive in archives.items():
        place = workdir / "data/archives" / source / names[source]["file"]
        place.parent.mkdir(parents=True)
        shutil.copy(archive, place)
        os.utime(place, (LONG_AGO, LONG_AGO))


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    made = tmp_path_factory.mktemp("made")
    return {"voc12_trainval": voc_trainval(made / "v.tar"), "sbd": sbd(made / "s.tgz")}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, voc):
    """VOC put in place by a person and prepared; the publisher is gone. Working directory and options of the run."""
    tmp_path = tmp_path_factory.mktemp("prepared")
    table = table_of(tmp_path, voc)
    names = yaml.safe_load(table.read_text())
    for source in voc:
        names["sources"][source]["urls"] = ["http://127.0.0.1:9/gone"]
    table.write_text(yaml.safe_dump(names))
    workdir = tmp_path / "run"
    put(voc, workdir, table)
    options = ("--config", "preset=paper", f"sources={table}", COUNTS)
    done = run(workdir, *options, "--", INDEX, micro=False)
    assert done.returncode == 0, done.stdout[-3000:]
    return workdir, options


@pytest.fixture
def placed(prepared, tmp_path):
    """A copy of that to change, with its dates."""
    workdir, options = prepared
    shutil.copytree(workdir, tmp_path / "run", copy_function=shutil.copy2)
    return tmp_path / "run", options


@pytest.mark.slow
def test_a_file_put_in_place_is_used_whatever_its_date(tmp_path):
    (tmp_path / "made").mkdir()
    archives = imagenet_archives(tmp_path / "made")
    table, workdir = table_of(tmp_path, archives), tmp_path / "run"
    put(archives, workdir, table)
    before = states(workdir / "data/archives")
    options = ("--config", "preset=paper", f"sources={table}", f"datasets__imagenet__options={SMALL['imagenet']}")
    for _ in range(2):
        done = run(workdir, *options, "--", "data/imagenet/index.csv", micro=False)
        assert done.returncode == 0, done.stdout[-3000:]
        assert states(workdir / "data/archives") == before and len(before) == 3
    assert "Nothing to be done" in done.stdout
    for path in before:
        os.utime(workdir / "data/archives" / path)
    done = run(workdir, *options, "-n", "--", "data/imagenet/index.csv", micro=False)
    assert "Nothing to be done" in done.stdout


def test_forced_and_deleted_runs_leave_archives_and_need_no_publisher(placed):
    workdir, options = placed
    archives, raw = states(workdir / "data/archives"), states(workdir / "data/voc12/raw")
    for forced in (("--forceall",), ("--delete-all-output",), ()):
        done = run(workdir, *options, *forced, "--", INDEX, micro=False)
        assert done.returncode == 0, done.stdout[-3000:]
        assert states(workdir / "data/archives") == archives, forced
        assert states(workdir / "data/voc12/raw") == raw, forced  # whole content is not unpacked again
    assert (workdir / INDEX).is_file()


def test_an_archive_that_was_unpacked_may_be_removed(placed):
    workdir, options = placed
    shutil.rmtree(workdir / "data/archives")
    assert "Nothing to be done" in run(workdir, *options, "-n", "--", INDEX, micro=False).stdout
    done = run(workdir, *options, "--forceall", "--", INDEX, micro=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_archives_of_an_earlier_version_are_verified_and_never_fetched_again(placed):
    """That version kept no stamps and no records, and its archives were outputs."""
    workdir, options = placed
    before = states(workdir / "data/archives"), states(workdir / "data/voc12/raw")
    for kept in (True, False):
        for path in (workdir / "data").rglob("*.json"):
            if path.name != "lock.json":
                path.unlink()
        (workdir / INDEX).unlink()
        if not kept:
            shutil.rmtree(workdir / "data/archives")
        done = run(workdir, *options, "--", INDEX, micro=False)
        assert done.returncode == 0, done.stdout[-3000:]
        if kept:
            assert states(workdir / "data/archives") == before[0]
        assert states(workdir / "data/voc12/raw") == before[1]
        assert (workdir / "data/voc12/raw/sbd" / RECORD).is_file()


def test_what_was_unpacked_and_lost_is_unpacked_again(placed):
    workdir, options = placed
    before = states(workdir / "data/voc12/raw")
    (workdir / "data/voc12/raw/sbd/benchmark_RELEASE/dataset/train.txt").unlink()
    for path in (workdir / "data/voc12/raw/sbd.json", workdir / INDEX):
        path.unlink()
    done = run(workdir, *options, "--", INDEX, micro=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert states(workdir / "data/voc12/raw").keys() == before.keys()


def test_an_edit_of_the_code_fetches_and_unpacks_nothing(placed, tmp_path):
    workdir, options = placed
    project = tmp_path / "project"
    for name in ("rules", "workflow_scripts", "src", "papers", "schemas", "pretrained", "profiles"):
        shutil.copytree(REPOSITORY / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "params.yaml", "environment.yml"):
        shutil.copy(REPOSITORY / name, project / name)
    for name in ("data/raw/verify.py", "data/raw/fetch.py", "data/raw/unpack.py", "io/atomic.py", "errors.py"):
        path = project / "src/seedbed" / name
        path.write_text(path.read_text() + "\nEDITED = 1\n")
    for name in ("fetch_source.py", "unpack_source.py", "job.py"):
        path = project / "workflow_scripts" / name
        path.write_text(path.read_text() + "\nEDITED = 1\n")
    asked = command(workdir, *options, "-n", "--", INDEX, micro=False)
    asked[asked.index("--snakefile") + 1] = str(project / "Snakefile")
    variables = environment(workdir) | {"PYTHONPATH": str(project / "src")}
    done = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE, env=variables, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert not set(RULES) & set(jobs_of(done.stdout))


def test_wrong_content_is_named_and_left(tmp_path, voc):
    table, workdir = table_of(tmp_path, voc), tmp_path / "run"
    put(voc, workdir, table)
    wrong = workdir / "data/archives/sbd/benchmark.tgz"
    wrong.write_bytes(b"<!doctype html><html>Sign in</html>")
    before = states(workdir / "data/archives")
    for _ in range(2):
        failed = run(workdir, "--config", "preset=paper", f"sources={table}", COUNTS, "--", INDEX, micro=False)
        assert failed.returncode != 0
        assert "data/archives/sbd/benchmark.tgz: is a web page" in failed.stdout and "left as it is" in failed.stdout
        assert states(workdir / "data/archives") == before


def test_a_job_killed_while_it_verifies_or_fetches_loses_nothing(tmp_path):
    """One archive takes a while to be read; the other comes slowly, and is taken up where it broke off."""
    (tmp_path / "made").mkdir()
    big = tar(tmp_path / "made/big.tar", {"a": bytes(200 << 20)})
    content = hashlib.sha256(b"0").digest() * 40_000
    slow = tar(tmp_path / "made/slow.tgz", {"b": os.urandom(1 << 20) + content})
    archives, workdir = {"voc12_trainval": big, "sbd": slow}, tmp_path / "run"
    with serve() as site:
        table = table_of(tmp_path, archives, site)
        put({"voc12_trainval": big}, workdir, table)
        before = states(workdir / "data/archives/voc12_trainval")
        stamps = ["voc12_trainval/VOCtrainval_11-May-2012.tar.json", "sbd/benchmark.tgz.json"]
        options = ["--config", "preset=paper", f"sources={table}", "--", *(f"data/archives/{name}" for name in stamps)]
        site.pages["/slow.tgz"].delay = 0.5
        process = subprocess.Popen(
            command(workdir, *options, micro=False),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(workdir),
            start_new_session=True,
        )
        part, log = workdir / "data/archives/sbd/benchmark.tgz.part", workdir / "results/paper/logs/archives"
        deadline = time.monotonic() + PATIENCE
        while not (part.exists() and part.stat().st_size) or not any(log.rglob("*.tar.log")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        came = part.stat().st_size
        assert states(workdir / "data/archives/voc12_trainval") == before and came
        site.pages["/slow.tgz"].delay = 0
        done = run(workdir, *options, micro=False)
        assert done.returncode == 0, done.stdout[-3000:]
        assert site.ranges()[0] is None and site.ranges()[-1] == f"bytes={came}-"
    assert states(workdir / "data/archives/voc12_trainval") == before
    assert (workdir / "data/archives/sbd/benchmark.tgz").read_bytes() == slow.read_bytes()


@pytest.mark.slow
def test_a_folder_of_yours_is_linked_and_never_touched(tmp_path, voc):
    table, mine, workdir = table_of(tmp_path, voc), tmp_path / "mine", tmp_path / "run"
    for source, archive in voc.items():
        shutil.copytree(unpack(archive, tmp_path / source, progress=False), mine, dirs_exist_ok=True)
    before = states(mine)
    options = ("--config", "preset=paper", f"voc12={mine}", f"sources={table}", COUNTS)
    for forced in ((), ("--delete-all-output",), ("--forceall",)):
        done = run(workdir, *options, *forced, "--", INDEX, micro=False)
        assert done.returncode == 0, done.stdout[-3000:]
        assert states(mine) == before
    put(voc, workdir, table)  # and now the archives instead: the links go, what they lead to stays
    done = run(workdir, "--config", "preset=paper", f"sources={table}", COUNTS, "--", INDEX, micro=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert not (workdir / "data/voc12/raw/voc12_trainval/VOCdevkit/VOC2012").is_symlink()
    assert states(mine) == before


@pytest.mark.slow
def test_weights_that_a_checksum_proves_are_made_once(tmp_path):
    """Shipped ones whatever their date; timm's from the file that is kept, without a network."""
    tag = "vit_base_patch16_224.orig_in21k_ft_in1k"
    kept = tmp_path / f"data/archives/timm/{tag}.safetensors"
    write_weights(kept, {"w": torch.arange(4.0)}, {})
    os.utime(kept, (LONG_AGO, LONG_AGO))
    before = states(kept.parent)
    again = (("--forceall",), ("--delete-all-output",), ())
    for preset, name, runs in (("paper", "vit_base", again), ("demo", "vit_tiny_r_s8", again[:1])):
        made = f"data/weights/{name}.safetensors"
        options = ("--config", f"preset={preset}", "--", made)
        for forced in runs:
            done = run(tmp_path, *forced, *options, micro=False)
            assert done.returncode == 0, done.stdout[-3000:]
        assert states(kept.parent) == before
        assert (tmp_path / made).is_file()
        os.utime(tmp_path / made, (LONG_AGO, LONG_AGO))  # older than what it was made of
        assert "Nothing to be done" in run(tmp_path, "-n", *options, micro=False).stdout
    assert torch.equal(read_weights(tmp_path / "data/weights/vit_base.safetensors")["w"], torch.arange(4.0))


def test_a_resume_state_and_what_waits_outlive_deleted_outputs(tmp_path):
    network = tmp_path / "results/demo/classifiers/shapes/vit_hybrid/seed0"
    waiting = tmp_path / "results/demo/tracking/vit_affinity/waiting/key/record.json"
    outputs = [network / name for name in ("model.safetensors", "history.csv", "metrics.json")]
    outputs.append(tmp_path / "results/demo/tracking/vit_affinity/table4.json")
    for path in (*outputs, network / "resume.pt", waiting):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    done = run(tmp_path, "--delete-all-output", "--", "vit_affinity_table4")
    assert done.returncode == 0, done.stdout[-3000:]
    assert not any(path.exists() for path in outputs)
    assert (network / "resume.pt").exists() and waiting.exists()


@pytest.mark.slow
def test_a_folder_without_locks_is_said_once_and_works(tmp_path, monkeypatch):
    """As on Lustre without flock: every process of the run gets ENOSYS."""
    patch = "import errno, fcntl\n\ndef flock(*_):\n    raise OSError(errno.ENOSYS, 'Function not implemented')\n"
    (tmp_path / "sitecustomize.py").write_text(f"{patch}\nfcntl.flock = flock\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    for _ in range(2):
        done = run(tmp_path / "run", "--", "data/shapes/index.csv")
        assert done.returncode == 0, done.stdout[-3000:]
        assert done.stdout.count("has no file locks") == 1
    assert "Nothing to be done" in done.stdout
    assert (tmp_path / "run/data/shapes/index.csv").is_file()
