"""Training steps beside PyTorch, FBGEMM and TorchRec, in turns, with one picture of the bars.

Makes a virtual environment with the peers on first use (2 GB). pip must be able to find the CPU build of torch, which
pytorch.org serves from an index of its own: name it in pip's configuration or in PIP_EXTRA_INDEX_URL.

Everybody has table, ids and labels in memory and two threads (--threads). The programs take turns in windows of two
seconds; a round in which another process took more than a tenth of a core is dropped and repeated. Our program's batches
are deduplicated before the clock starts, as a dataset stores them. Tables have the 33.8 million rows of the Criteo-Kaggle
log (--scale); needs 16 GiB of memory. `ceiling` is the matrix products of the step alone, through single-threaded OpenBLAS
on each core.

--out-of-core adds PyTorch on a memory-mapped table beside `chanter train`, both under a limit of 2 GiB (25 GB of disk, freed
afterwards; makes a control group, so it needs root). --workloads "" leaves the rest out.

On a quiet machine of two cores a workload takes about two minutes, one with --rounds 3; --out-of-core about six.
"""
import os
import subprocess
import sys
import tempfile

from . import common, drawing

PACKAGES = ["torch==2.13.0+cpu", "numpy", "fbgemm-gpu-cpu==1.8.0", "tensordict", "torchmetrics==1.0.3", "tqdm",
            "pyre-extensions", "iopath"]
# Its package asks for torch's CUDA build; the CPU build serves.
WITHOUT_DEPENDENCIES = ["torchrec==1.8.0"]
PEERS = {"bags": "PyTorch EmbeddingBag", "fbgemm": "FBGEMM TBE", "torchrec": "TorchRec"}
OURS, CEILING = "Chanter", "GEMM ceiling"
KAGGLE = ["--bottom", "512-256-64-16", "--top", "512-256-1"]
BAGPIPE = ["--bottom", "1024-1024-512-256-64-48", "--top", "1024-512-256-1"]
# Name, what all get, share of the rows (four tables of dimension 48 must fit in memory), required ratio to the best peer,
# required ratio to the ceiling, and the goals for both.
WORKLOADS = {
    "128": ("Criteo-Kaggle shapes, SGD, batch 128", [*KAGGLE, "--batch", "128"], 1, (1.5, None), (1.7, None)),
    "2048": ("Criteo-Kaggle shapes, SGD, batch 2,048", [*KAGGLE, "--batch", "2048"], 1, (1.25, 0.85), (1.35, 0.9)),
    "8192": ("Criteo-Kaggle shapes, SGD, batch 8,192", [*KAGGLE, "--batch", "8192"], 1, (1.25, 0.85), (1.35, 0.9)),
    "adagrad": ("Criteo-Kaggle shapes, row-wise Adagrad, batch 2,048",
                [*KAGGLE, "--batch", "2048", "--optimizer", "adagrad"], 1, (1.3, None), (1.6, None)),
    "bagpipe": ("BagPipe README shapes, SGD, batch 2,048", [*BAGPIPE, "--batch", "2048"], 0.4, (1.1, 0.9), (1.1, 0.9)),
}


def arguments(parser):
    parser.add_argument("--environment", default=os.path.join(common.ROOT, ".build", "peers"),
                        help="virtual environment of the peers (default .build/peers)")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="some of " + ", ".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a window")
    parser.add_argument("--deadline", type=float, default=180.0, help="seconds for a workload, rounds that were dropped included")
    parser.add_argument("--scale", type=float, default=1.0, help="rows, as a share of the Criteo-Kaggle log's")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quiet", type=float, default=common.QUIET, help="cores that others may use in a window")
    parser.add_argument("--svg", default="compare.svg", help="where the picture goes")
    parser.add_argument("--out-of-core", action="store_true")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="disk for --out-of-core")


def environment(folder):
    """The Python of a virtual environment with the peers."""
    python = os.path.join(folder, "bin", "python")
    check = "import torch, fbgemm_gpu, torchrec"
    if os.path.exists(python) and subprocess.run([python, "-c", check], capture_output=True).returncode == 0:
        return python
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet"]
    for packages in (PACKAGES, ["--no-deps", *WITHOUT_DEPENDENCIES]):
        if subprocess.run([*pip, *packages], stdout=sys.stderr).returncode != 0:
            sys.exit("pip could not install the peers; if it did not find torch's CPU build (+cpu), name the index that "
                     "pytorch.org gives for it in PIP_EXTRA_INDEX_URL")
    return python


def peer(python, tables, *more):
    script = os.path.join(os.path.dirname(__file__), "peer_torch.py")
    return common.Contestant(PEERS[tables], [python, script, "--tables", tables, *more], stderr=subprocess.DEVNULL)


def race(arguments, binary, python, key):
    """One workload: all contestants in turns."""
    name, options, scale, required, goal = WORKLOADS[key]
    shared = [*options, "--threads", str(arguments.threads)]
    rows = ["--scale", str(scale * arguments.scale)]
    without_optimizer = shared[:shared.index("--optimizer")] + shared[shared.index("--optimizer") + 2:] \
        if "--optimizer" in shared else shared
    contestants = []
    try:
        contestants.append(common.Contestant(OURS, [binary, "step", *shared, *rows]))
        contestants.append(common.Contestant(CEILING, [binary, "gemm", *without_optimizer]))
        contestants += [peer(python, tables, *shared, *rows) for tables in PEERS]
        windows, dropped = common.take_turns(
            contestants, arguments.rounds, arguments.seconds, arguments.deadline, arguments.quiet)
    finally:
        for contestant in contestants:
            contestant.close()
    rates = {who: common.median_rate(list_) for who, list_ in windows.items()}
    best = max((who for who in PEERS.values() if rates[who]), key=rates.get, default=None)
    result = {"name": name, "rates": rates, "windows": len(windows[OURS]), "dropped": dropped, "best_peer": best,
              "scale": scale * arguments.scale,
              "all": {who: [round(w["samples"] / w["seconds"]) for w in list_] for who, list_ in windows.items()},
              "required": required, "goal": goal}
    if best:
        result["over_best_peer"] = common.median_ratio(windows[OURS], windows[best])
        result["over_ceiling"] = common.median_ratio(windows[OURS], windows[CEILING])
    return result


def run(arguments):
    chosen = [key for key in arguments.workloads.split(",") if key]
    unknown = set(chosen) - set(WORKLOADS)
    if unknown:
        sys.exit(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    binary = common.build("ChanterBench")
    python = environment(arguments.environment)
    facts = common.machine()
    results = []
    for key in chosen:
        results.append(race(arguments, binary, python, key))
        # At once, so that a run that is stopped has shown what it measured.
        print("\n".join(describe(results[-1])), file=sys.stderr)
    result = {"benchmark": "compare", **facts, "threads": arguments.threads, "window_seconds": arguments.seconds,
              "peers": PACKAGES + WITHOUT_DEPENDENCIES, "workloads": results}
    lines = [common.describe(facts), f"samples/s, medians of windows of {arguments.seconds:g} s in turns, {arguments.threads} threads"]
    for race_result in results:
        lines += [""] + describe(race_result)
    if arguments.out_of_core:
        from . import out_of_core
        result["out_of_core"] = out_of_core.measure(arguments, python)
        lines += [""] + out_of_core.describe(result["out_of_core"])
    drawing.bars(arguments.svg, "Training samples a second", common.describe(facts),
                 [(item["name"], item["rates"]) for item in results] + (
                     [("19.4 GB under a limit of 2 GiB", out_of_core.rates(result["out_of_core"]))] if arguments.out_of_core else []))
    common.report(arguments, result, lines)


def describe(item):
    lines = [f"{item['name']} ({item['windows']} windows each, {item['dropped']} dropped)"]
    for who, rate in item["rates"].items():
        lines.append(f"  {who:22}" + (f"{rate:10,.0f}" if rate else "  no quiet window"))
    if item["best_peer"]:
        for words, key, index in ((f"over {item['best_peer']}", "over_best_peer", 0), ("over the ceiling", "over_ceiling", 1)):
            wanted = item["required"][index]
            target = f"  required {wanted}, goal {item['goal'][index]}" if wanted else ""
            lines.append(f"  {words:32}{item[key]:6.2f}{target}")
    return lines
