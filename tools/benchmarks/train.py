"""The whole pipeline from a dataset on disk: memory budget, background threads and commits included.

Writes a Criteo-like trace (33.8 million rows; --scale) and a model that holds every row, then trains in turns: the pipeline
with a tenth of the table's bytes (--share), the same in memory, and with lookahead 1, with BagPipe's window policy and with
LRU. A rate is that of the second half of a run, when the cache is full. Behind each run of the pipeline `chanter evaluate`
scores the same samples with its model and budget; its rate is that of the whole program, start and metrics included. Runs in
which another process took more than a tenth of a core are repeated once and then dropped. With --peers, PyTorch, FBGEMM and
TorchRec run in memory in the same turns.

--growth trains on tables of 1 million to 1,000 million declared rows instead, two epochs in each of some budgets, and draws the
speed of the second as curves; declared rows cost nothing until they are touched, and then what the cache misses.

On a quiet machine of two cores the defaults take about five minutes, --peers two more, --growth about five; a machine that
others use takes longer, since runs are repeated. Needs about 6 GB of disk in --folder, and 8 GiB of memory for the run in memory.
"""
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time

from . import common, drawing, split

# As ChanterBench's trace declares them at scale 1.
ROWS = 33_762_629
SGD = ["--set", "rows.optimizer=sgd", "--set", "dense.optimizer=sgd"]
EVALUATION = "evaluation"
VARIANTS = {
    "pipeline": [],
    "in memory": ["--in-memory"],
    "lookahead 1": ["--lookahead", "1"],
    "policy window": ["--policy", "window"],
    "policy lru": ["--policy", "lru"],
}


def arguments(parser):
    parser.add_argument("--scale", type=float, default=1.0, help="rows and length of the log, as a multiple of Criteo Kaggle's")
    parser.add_argument("--samples", type=int, default=500_000)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--share", type=float, default=0.1, help="memory budget, as a share of the bytes of all rows")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--variants", default=",".join(VARIANTS), help="some of " + ", ".join(VARIANTS))
    parser.add_argument("--config", default=os.path.join(common.ROOT, "data", "configs", "dlrm.yaml"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--quiet", type=float, default=common.QUIET, help="cores that others may use in a run")
    parser.add_argument("--peers", action="store_true", help="peers beside it, from the environment of compare")
    parser.add_argument("--environment", default=os.path.join(common.ROOT, ".build", "peers"))
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--growth-memory", default="512MiB,96MiB", help="budgets of --growth")
    parser.add_argument("--svg", default="growth.svg", help="where the picture of --growth goes")


def chanter_train(command, perf=False):
    """Runs one training. Returns its progress lines, its totals, the cores that others used meanwhile, and the time split."""
    perf = perf and split.is_there()
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "perf.data")
        children, before, start = os.times(), common.busy_seconds(), time.monotonic()
        # perf starts the program, so that it sees each thread from its beginning.
        done = subprocess.run([*split.record(data), "--", *command] if perf else command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}")
        shares = split.parts(data) if perf else None
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    after = os.times()
    own = after.children_user + after.children_system - children.children_user - children.children_system
    foreign = (common.busy_seconds() - before - own) / (time.monotonic() - start)
    return lines[:-1], lines[-1], max(0.0, foreign), shares


def evaluate(bench, memory):
    """Samples a second of scoring the trained samples, and the cores that others used meanwhile."""
    children, before, start = os.times(), common.busy_seconds(), time.monotonic()
    common.output(bench.chanter, "evaluate", bench.model, bench.dataset, "--split", "train", "--memory", memory,
                  "--threads", str(bench.arguments.threads), stderr=subprocess.DEVNULL)
    seconds, after = time.monotonic() - start, os.times()
    own = after.children_user + after.children_system - children.children_user - children.children_system
    return bench.arguments.samples / seconds, max(0.0, (common.busy_seconds() - before - own) / seconds)


def rate(lines, total, chosen):
    """Samples a second over the progress lines that `chosen` keeps; of all where the run was too short for any."""
    kept = [line for line in lines if chosen(line)]
    seconds = sum(line["seconds"] for line in kept)
    return sum(line["samples"] for line in kept) / seconds if seconds > 0 else total["samples_per_second"]


class Bench:
    """A folder with a dataset and a model to start from."""

    def __init__(self, arguments, scale, config):
        self.arguments, self.config = arguments, config
        self.folder = tempfile.mkdtemp(prefix="chanter-bench-", dir=arguments.folder)
        self.bench, self.chanter = common.build("ChanterBench"), common.build("chanter")
        self.dataset, self.model = f"{self.folder}/dataset", f"{self.folder}/model"
        common.output(self.bench, "trace", self.dataset, "--rows", str(round(ROWS * scale)), "--samples", str(arguments.samples),
                      "--batch-size", str(arguments.batch))

    def populate(self):
        common.output(self.bench, "populate", self.dataset, "--out", f"{self.folder}/start", "--config", self.config, *SGD)

    def fresh(self, populated):
        shutil.rmtree(self.model, ignore_errors=True)
        if populated:
            shutil.copytree(f"{self.folder}/start", self.model)

    def command(self, memory, *more):
        budget = [] if "--in-memory" in more else ["--memory", memory]
        return [self.chanter, "train", self.dataset, "--out", self.model, "--config", self.config, *SGD,
                *budget, "--epochs", "2", "--threads", str(self.arguments.threads), "--format", "json", *more]

    def close(self):
        shutil.rmtree(self.folder)


def variants(arguments):
    chosen = {name: VARIANTS[name] for name in arguments.variants.split(",")}
    row_bytes = 64
    memory = int(arguments.share * ROWS * arguments.scale * row_bytes)
    bench = Bench(arguments, arguments.scale, arguments.config)
    peers, peer_windows, dropped, shares, totals = [], {}, 0, None, {}
    rates = {name: [] for name in chosen} | ({EVALUATION: []} if "pipeline" in chosen else {})
    try:
        bench.populate()
        if arguments.peers:
            from . import compare
            python = compare.environment(arguments.environment)
            more = [*compare.KAGGLE, "--batch", str(arguments.batch), "--threads", str(arguments.threads),
                    "--scale", str(arguments.scale)]
            peers = [compare.peer(python, tables, *more) for tables in compare.PEERS]
            peer_windows = {peer.name: [] for peer in peers}
        for _ in range(arguments.rounds):
            for name, more in chosen.items():
                for attempt in range(2):
                    bench.fresh(True)
                    perf = name == "pipeline" and shares is None and attempt == 0
                    lines, total, foreign, measured = chanter_train(bench.command(str(memory), *more), perf)
                    shares = shares or measured
                    totals[name] = total
                    if foreign <= arguments.quiet:
                        middle = lines[len(lines) // 2]["batch"] if lines else 0
                        rates[name].append(rate(lines, total, lambda line: line["batch"] > middle))
                        break
                    dropped += 1
                if name == "pipeline":
                    speed, foreign = evaluate(bench, str(memory))
                    if foreign <= arguments.quiet:
                        rates[EVALUATION].append(speed)
                    else:
                        dropped += 1
            for peer in peers:
                window = peer.run(4)
                if window["foreign"] <= arguments.quiet:
                    peer_windows[peer.name].append(window)
                else:
                    dropped += 1
    finally:
        for peer in peers:
            peer.close()
        bench.close()
    figures = {name: statistics.median(values) if values else None for name, values in rates.items()}
    figures |= {name: common.median_rate(windows) for name, windows in peer_windows.items()}
    return {"memory": memory, "rows": int(ROWS * arguments.scale), "rates": figures, "all": rates, "dropped": dropped,
            "time": shares, "totals": totals}


def growth(arguments):
    points = []
    for rows in (1e6, 1e7, 1e8, 1e9):
        bench = Bench(arguments, rows / ROWS, arguments.config)
        try:
            for memory in arguments.growth_memory.split(","):
                points.append({"declared_rows": int(rows), "memory": memory, **growth_point(bench, memory)})
        finally:
            bench.close()
    return points


def growth_point(bench, memory):
    rates, dropped = [], 0
    for _ in range(bench.arguments.rounds):
        bench.fresh(False)
        lines, total, foreign, _ = chanter_train(bench.command(memory))
        if foreign > bench.arguments.quiet:
            dropped += 1
            continue
        rates.append(rate(lines, total, lambda line: line["epoch"] == 2))
    second = [line for line in lines if line["epoch"] == 2] or [total]
    samples = sum(line["samples"] for line in second)
    return {"dropped": dropped, "rate": statistics.median(rates) if rates else None, "touched_rows": int(total["initial_rows"]),
            "fetched_per_sample": sum(line["fetched_rows"] for line in second) / samples,
            "blocks_per_sample": sum(line["blocks_read"] for line in second) / samples,
            "model_bytes": sum(os.path.getsize(os.path.join(bench.model, name)) for name in os.listdir(bench.model))}


def run(arguments):
    facts = common.machine()
    result = {"benchmark": "train", **facts, "samples": arguments.samples, "batch": arguments.batch,
              "threads": arguments.threads, "config": os.path.relpath(arguments.config, common.ROOT)}
    lines = [common.describe(facts)]
    if arguments.growth:
        result["growth"] = growth(arguments)
        lines.append(f"{arguments.samples:,} samples, second epoch, medians of {arguments.rounds} runs")
        lines.append(f"{'declared rows':>14}{'touched rows':>14}{'memory':>10}{'samples/s':>12}{'fetched/sample':>16}{'blocks/sample':>15}"
                     f"{'model':>10}")
        for point in result["growth"]:
            speed = f"{point['rate']:12,.0f}" if point["rate"] else "  not quiet "
            lines.append(f"{point['declared_rows']:14,}{point['touched_rows']:14,}{point['memory']:>10}{speed}{point['fetched_per_sample']:16.3f}"
                         f"{point['blocks_per_sample']:15.3f}{point['model_bytes'] / 2**20:6.0f} MiB")
        series = {}
        for point in result["growth"]:
            if point["rate"]:
                series.setdefault(f"{point['memory']} of memory", []).append((point["declared_rows"], point["rate"]))
        if series:
            drawing.curve(arguments.svg, "Training, samples a second by declared rows", common.describe(facts), "declared rows", series)
    else:
        result |= variants(arguments)
        rates, base = result["rates"], result["rates"].get("pipeline")
        lines.append(f"{result['rows']:,} rows of 64 bytes, {result['memory'] / 2**20:.0f} MiB of memory, {arguments.samples:,} samples, "
                     f"batch {arguments.batch:,}, SGD, medians of {arguments.rounds} runs, {result['dropped']} dropped")
        lines.append(f"{'':22}{'samples/s':>12}{'pipeline over it':>18}{'hit rate':>10}{'blocks read':>13}")
        for name, value in rates.items():
            total = result["totals"].get(name)
            more = f"{total['hit_rate'] * 100:9.2f}%{total['blocks_read']:13,}" if total and name != "in memory" else ""
            ratio = f"{base / value:18.2f}" if base and value else f"{'':18}"
            lines.append(f"{name:22}" + (f"{value:12,.0f}" if value else "  not quiet ") + ratio + more)
        if base and rates.get(EVALUATION):
            lines.append(f"evaluation over the pipeline {rates[EVALUATION] / base:.2f} (goal 2.5)")
        lines += split.describe(result["time"])
        if result["time"]:
            share = result["time"].get("plan", 0) + result["time"].get("cache", 0)
            lines.append(f"planning and cache bookkeeping: {share * 100:.1f}% of the CPU time (goal 3%)")
    common.report(arguments, result, lines)
