"""Preprocessing of a Criteo-like log, in memory and past memory, beside polars, in turns.

Writes a log with `chanter generate` whose values are drawn from as many as the Criteo-Kaggle log has (--rows), or takes the
one that --log names. In every round `chanter preprocess` makes a finished dataset without a limit, polars makes dense,
id and label arrays and saves them (parse, factorise, arrays: no split, no vocabulary on disk, no next uses), and
`chanter preprocess --memory` makes the dataset again with values that go through temporary files. A round in which another
process took more than a tenth of a core is repeated, until --deadline.

Our seconds are those of the whole program; those of polars start after its imports. The log is in the system's cache. Makes
a virtual environment with polars on first use. Needs about 1 GB of disk in --folder.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from . import common

PACKAGES = ["polars==2.1.0", "numpy"]
MEMORY, POLARS, SPILLED = "in memory", "polars", "past memory"
# Rows a second.
REQUIRED = {MEMORY: 350_000, SPILLED: 150_000}
GOAL = {MEMORY: 500_000, SPILLED: 150_000}
BYTES_GOAL = 48
# The same steps in the fewest words; Categories of their own number the values of each column from 0 without gaps.
SCRIPT = """
import sys, time
import numpy, polars
from polars import col
log, out = sys.argv[1:]
start = time.perf_counter()
dense, values = [f"I{i}" for i in range(1, 14)], [f"C{i}" for i in range(1, 27)]
data = polars.read_csv(log, separator="\\t", has_header=False, new_columns=["label", *dense, *values],
                       schema_overrides=[polars.Float32] * 14 + [polars.String] * 26)
data = data.select("label", *(col(name).fill_null(0).clip(lower_bound=0).log1p() for name in dense),
                   *((col(name).cast(polars.Categorical(polars.Categories(name))).to_physical().cast(polars.Int32) + 1).fill_null(0)
                     for name in values))
numpy.savez(out, label=data["label"].to_numpy(), dense=data.select(dense).to_numpy(), ids=data.select(values).to_numpy())
print(len(data), time.perf_counter() - start)
"""


def arguments(parser):
    parser.add_argument("--log", help="a log in Criteo's layout that is there already")
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=33_762_629, help="distinct values that exist; most do not occur in a short log")
    parser.add_argument("--memory", default="192MiB", help="limit past which values go to disk")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--deadline", type=float, default=240.0, help="seconds, rounds that were dropped included")
    parser.add_argument("--quiet", type=float, default=common.QUIET, help="cores that others may use in a run")
    parser.add_argument("--environment", default=os.path.join(common.ROOT, ".build", "peers-preprocess"),
                        help="virtual environment of polars (default .build/peers-preprocess)")
    parser.add_argument("--folder", default=tempfile.gettempdir())


def environment(folder):
    """The Python of a virtual environment with polars."""
    python = os.path.join(folder, "bin", "python")
    if os.path.exists(python) and subprocess.run([python, "-c", "import numpy, polars"], capture_output=True).returncode == 0:
        return python
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    if subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], stdout=sys.stderr).returncode != 0:
        sys.exit("pip could not install " + " ".join(PACKAGES))
    return python


class Watch(threading.Thread):
    """The most bytes that the files of a folder had together, and those of spilled values, looked at 20 times a second."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.ended, self.temporary, self.spilled = folder, threading.Event(), 0, 0
        self.start()

    def run(self):
        while not self.ended.wait(0.05):
            try:
                sizes = {entry.name: entry.stat().st_size for entry in os.scandir(self.folder)}
            except OSError:
                continue  # not there yet, or a file that has just gone
            self.temporary = max(self.temporary, sum(size for name, size in sizes.items() if name.startswith("work-")))
            self.spilled = max(self.spilled, sizes.get("work-spilled", 0))

    def close(self):
        self.ended.set()
        self.join()


def measured(command, **more):
    """Runs a program: what it printed, its seconds, its largest resident memory, and the cores that others used meanwhile."""
    before, start = common.busy_seconds(), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    errors = []
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
    reader.start()
    out = process.stdout.read()
    reader.join()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])}: {errors[0].strip().splitlines()[-1:]}")
    cpu = usage.ru_utime + usage.ru_stime
    foreign = max(0.0, common.busy_seconds() - before - cpu) / seconds
    return out, {"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": usage.ru_maxrss * 1024, "foreign": foreign}


def dataset_bytes(folder):
    """Bytes of a dataset: the vocabulary's, and those of everything else, which grow with the samples."""
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(folder)}
    vocabulary = sum(size for name, size in sizes.items() if name.startswith("vocabulary"))
    return vocabulary, sum(sizes.values()) - vocabulary


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.chanter, self.python = common.build("chanter"), environment(arguments.environment)
        self.folder = tempfile.mkdtemp(prefix="chanter-bench-", dir=arguments.folder)
        self.log = arguments.log or os.path.join(self.folder, "log.tsv")
        self.facts = {}

    def generate(self):
        if self.arguments.log is None:
            common.output(self.chanter, "generate", self.log, "--samples", str(self.arguments.samples),
                          "--rows", str(self.arguments.rows), stderr=subprocess.DEVNULL)

    def ours(self, *more):
        out = os.path.join(self.folder, "dataset")
        shutil.rmtree(out, ignore_errors=True)
        watch = Watch(out + ".partial")
        try:
            printed, run = measured([self.chanter, "preprocess", self.log, "--out", out, "--dense", "fp16", "--threads",
                                     str(self.arguments.threads), "--format", "json", *more])
        finally:
            watch.close()
        result = json.loads(printed)
        vocabulary, rest = dataset_bytes(out)
        samples = result["train_samples"] + result["valid_samples"] + result["holdout_samples"]
        self.facts = {"samples": samples, "rows": result["rows"], "bytes_per_sample": rest / samples, "vocabulary_bytes": vocabulary}
        return run | {"samples": samples, "temporary_bytes": watch.temporary, "spilled_bytes": watch.spilled}

    def polars(self):
        out = os.path.join(self.folder, "arrays.npz")
        environment = os.environ | {"POLARS_MAX_THREADS": str(self.arguments.threads)}
        printed, run = measured([self.python, "-c", SCRIPT, self.log, out], env=environment)
        os.remove(out)
        samples, seconds = printed.split()
        return run | {"samples": int(samples), "seconds": float(seconds)}

    def close(self):
        shutil.rmtree(self.folder)


def rounds(bench):
    """Runs of each contestant in turns; rounds that were not quiet are left out and counted."""
    arguments = bench.arguments
    contestants = {MEMORY: bench.ours, POLARS: bench.polars, SPILLED: lambda: bench.ours("--memory", arguments.memory)}
    runs, dropped, end = {name: [] for name in contestants}, 0, time.monotonic() + arguments.deadline
    while len(runs[MEMORY]) < arguments.rounds and time.monotonic() < end:
        turn = {name: contestant() for name, contestant in contestants.items()}
        if turn[SPILLED]["spilled_bytes"] == 0:
            sys.exit(f"--memory {arguments.memory} holds every value of this log; give less")
        if any(run["foreign"] > arguments.quiet for run in turn.values()):
            dropped += 1
            continue
        for name, run in turn.items():
            runs[name].append(run)
    return runs, dropped


def run(arguments):
    bench = Bench(arguments)
    try:
        bench.generate()
        facts = common.machine()
        runs, dropped = rounds(bench)
    finally:
        bench.close()
    result = {"benchmark": "preprocess", **facts, **bench.facts, "threads": arguments.threads, "memory": arguments.memory,
              "peer": PACKAGES[0], "rounds": len(runs[MEMORY]), "dropped": dropped, "goal": GOAL, "required": REQUIRED,
              "bytes_per_sample_goal": BYTES_GOAL, "runs": runs, "contestants": {}}
    for name, list_ in runs.items():
        if not list_:
            continue
        summary = {"rows_per_second": common.median_rate(list_), "over_polars": common.median_ratio(list_, runs[POLARS]),
                   "cpu_microseconds_per_row": common.median_cpu(list_), "peak_bytes": max(run["peak_bytes"] for run in list_)}
        for key in ("temporary_bytes", "spilled_bytes"):
            if key in list_[0]:
                summary[key] = statistics.median(run[key] for run in list_)
        result["contestants"][name] = summary
    common.report(arguments, result, [common.describe(facts), *describe(result)])


def describe(result):
    lines = [f"{result['samples']:,} lines, {result['rows']:,} rows, {result['threads']} threads, medians of {result['rounds']} rounds in turns, "
             f"{result['dropped']} dropped"]
    if not result["contestants"]:
        return lines + ["no quiet round"]
    lines.append(f"{'':24}{'rows/s':>10}{'over polars':>13}{'CPU µs/row':>12}{'peak memory':>13}{'spilled':>10}")
    for name, one in result["contestants"].items():
        label = {MEMORY: "Chanter", POLARS: result["peer"], SPILLED: f"Chanter --memory {result['memory']}"}[name]
        spilled = f"{one['spilled_bytes'] / 2**20:6.0f} MiB" if "spilled_bytes" in one else f"{'':10}"
        wanted = f"   required {REQUIRED[name]:,}, goal {GOAL[name]:,}" if name in GOAL else ""
        lines.append(f"{label:24}{one['rows_per_second']:10,.0f}{one['over_polars']:13.2f}{one['cpu_microseconds_per_row']:12.2f}"
                     f"{one['peak_bytes'] / 2**20:9.0f} MiB{spilled}{wanted}")
    return lines + [f"{result['bytes_per_sample']:.1f} bytes a sample (goal {BYTES_GOAL} on the trace of tools/bench decode) and a vocabulary of "
                    f"{result['vocabulary_bytes'] / 2**20:.1f} MiB"]
