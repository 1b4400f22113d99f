"""Training steps in memory beside their GEMM ceiling: no store, no plan, no cache.

Synthetic skewed ids over tables with the rows of the Criteo-Kaggle log. The ceiling is the matrix products of the step and
nothing else, through OpenBLAS, one thread on each core with its share of the batch. Both take turns; rounds in which another
process was busy are dropped. Fails if a step allocates memory, which glibc's allocation trace counts. A batch size takes about
a minute on a quiet machine.
"""
import os
import sys
import tempfile

from . import common, split


def arguments(parser):
    parser.add_argument("--bottom", default="512-256-64-16")
    parser.add_argument("--top", default="512-256-1")
    parser.add_argument("--model", default="dlrm", help="as a configuration names it; lr and fm have no ceiling")
    parser.add_argument("--hidden", default="400-400-400", help="hidden layers of other models than dlrm")
    parser.add_argument("--batch", default="128,2048,8192")
    parser.add_argument("--optimizer", choices=["sgd", "adagrad", "adam", "adamw"], default="sgd")
    parser.add_argument("--scale", type=float, default=1.0, help="rows, as a share of the Criteo-Kaggle log's")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--deadline", type=float, default=90.0, help="seconds for a batch size")
    parser.add_argument("--quiet", type=float, default=common.QUIET, help="cores that others may use in a window")


def measure(binary, arguments, batch):
    shapes = ["--model", arguments.model, "--hidden", arguments.hidden, "--bottom", arguments.bottom, "--top", arguments.top, "--batch", str(batch),
              "--threads", str(arguments.threads)]
    more = ["--optimizer", arguments.optimizer, "--scale", str(arguments.scale)]
    contestants = []
    try:
        for name, command in (("train", ["step", *shapes, *more]), ("predict", ["step", "--predict", *shapes, *more]),
                              ("ceiling", ["gemm", *shapes])):
            contestants.append(common.Contestant(name, [binary, *command]))
        windows, dropped = common.take_turns(
            contestants, arguments.rounds, arguments.seconds, arguments.deadline, arguments.quiet)
        train, facts = contestants[0], contestants[2].facts
        window, shares = split.measure(train.process.pid, lambda: train.run(4))
    finally:
        for contestant in contestants:
            contestant.close()
    result = {"batch": batch, "windows": len(windows["train"]), "dropped": dropped,
              "rates": {name: common.median_rate(list_) for name, list_ in windows.items()},
              "flops_per_sample": facts["flops_per_sample"],
              "cpu_microseconds": {name: common.median_cpu(list_) for name, list_ in windows.items()}}
    if windows["train"]:
        result["over_ceiling"] = common.median_ratio(windows["train"], windows["ceiling"])
        result["predict_over_train"] = common.median_ratio(windows["predict"], windows["train"])
    if shares:
        result["time"] = split.with_idle(shares, window["cpu_seconds"], window["seconds"], arguments.threads)
    return result


def allocations(binary, arguments, batch, *more, steps=5):
    """How often a few steps allocate memory, counted in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_TRACE": os.path.join(folder, "trace")}
        return int(common.output(
            binary, "step", "--model", arguments.model, "--hidden", arguments.hidden, "--bottom", arguments.bottom, "--top",
            arguments.top, "--batch", str(batch), "--threads", str(arguments.threads), "--optimizer", arguments.optimizer,
            "--scale", "0.01", "--samples", str(8 * batch),
            "--allocations", str(steps), *more, env=environment))


def run(arguments):
    binary = common.build("ChanterBench")
    facts = common.machine()
    results = [measure(binary, arguments, int(batch)) for batch in arguments.batch.split(",")]
    result = {"benchmark": "step", **facts, "model": arguments.model, "hidden": arguments.hidden, "bottom": arguments.bottom, "top": arguments.top,
              "optimizer": arguments.optimizer, "scale": arguments.scale, "threads": arguments.threads, "batches": results}
    lines = [common.describe(facts), f"{arguments.model}, 13-{arguments.bottom}, top {arguments.top}, hidden {arguments.hidden}, {arguments.optimizer}, "
             f"{arguments.threads} threads, medians of windows of {arguments.seconds:g} s in turns"]
    for item in results:
        lines += ["", f"batch {item['batch']:,} ({item['windows']} windows each, {item['dropped']} dropped)"]
        for name, rate in item["rates"].items():
            if rate:
                lines.append(f"  {name:12}{rate:10,.0f} samples/s{item['cpu_microseconds'][name]:9.2f} µs of CPU a sample")
        if "over_ceiling" in item:
            lines.append(f"  over the ceiling {item['over_ceiling']:.2f}; prediction over training {item['predict_over_train']:.2f}")
        lines += ["  " + line for line in split.describe(item.get("time"))]
        item["allocations"] = {"train": allocations(binary, arguments, item["batch"]),
                               "predict": allocations(binary, arguments, item["batch"], "--predict")}
        lines.append("  allocations in 5 steps: {train} in training, {predict} in prediction".format(**item["allocations"]))
    common.report(arguments, result, lines)
    if any(count for item in results for count in item["allocations"].values()):
        sys.exit("a step allocated memory")
