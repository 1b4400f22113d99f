"""PyTorch on a memory-mapped table with MADV_RANDOM beside `chanter train`, both under one memory limit, page cache included.

Three times the rows of the Criteo-Kaggle log with vectors of 48 floats: 19.4 GB. Both sides train on the same samples of a
Criteo-like trace; PyTorch's rows are spread over its tables as raw ids are. One after the other, because the disk can hold
little more than one of the tables.
"""
import json
import os
import shutil
import subprocess
import tempfile
import time

from . import common, compare, train

LIMIT = 2 << 30
# What `chanter` may take of it; the rest is page cache, program and OpenBLAS.
MEMORY = "1536MiB"
SCALE = 3.0
# Of the trace, and of a window.
SAMPLES, SECONDS = 600_000, 20
BOTTOM = [512, 256, 64, 48]
GROUPS = "/sys/fs/cgroup"


class Group:
    """A control group with a memory limit."""

    def __init__(self, limit):
        # Where the memory controller of version 1 is mounted, it is the one in force.
        old = os.path.join(GROUPS, "memory")
        self.path = os.path.join(old if os.path.isdir(old) else GROUPS, f"chanter-bench-{os.getpid()}")
        os.mkdir(self.path)
        with open(os.path.join(self.path, "memory.limit_in_bytes" if os.path.isdir(old) else "memory.max"), "w") as file:
            file.write(str(limit))

    def enter(self):
        """For a child process between fork and exec."""
        with open(os.path.join(self.path, "cgroup.procs"), "w") as file:
            file.write("0")

    def close(self):
        for _ in range(20):
            try:
                return os.rmdir(self.path)
            except OSError:
                time.sleep(0.2)


def disk_counts():
    """Reads, sectors read, writes and sectors written of all disks since boot."""
    totals = [0, 0, 0, 0]
    for name in os.listdir("/sys/block"):
        if name.startswith(("loop", "ram", "zram", "dm-")):
            continue
        with open(f"/sys/block/{name}/stat") as file:
            fields = [int(field) for field in file.read().split()]
        for index, field in enumerate((0, 2, 4, 6)):
            totals[index] += fields[field]
    return totals


def traffic(before, after, seconds):
    reads, read, writes, written = (b - a for a, b in zip(before, after))
    return {"reads_per_second": reads / seconds, "read_megabytes_per_second": read * 512 / 1e6 / seconds,
            "writes_per_second": writes / seconds, "written_megabytes_per_second": written * 512 / 1e6 / seconds}


def measure(arguments, python):
    common.need("fio")
    from .storage import fio
    bench, chanter = common.build("ChanterBench"), common.build("chanter")
    folder = tempfile.mkdtemp(prefix="chanter-bench-", dir=arguments.folder)
    group = Group(LIMIT)
    try:
        limit = fio(folder, "randread", "4k", 64)[0]
        os.remove(f"{folder}/fio")
        dataset, ids = f"{folder}/dataset", f"{folder}/ids"
        common.output(bench, "trace", dataset, "--rows", str(round(train.ROWS * SCALE)), "--samples", str(SAMPLES))
        common.output(bench, "ids", dataset, ids)
        peer = torch_windows(python, group, folder, ids)
        ours = chanter_windows(bench, chanter, group, folder, dataset)
    finally:
        group.close()
        shutil.rmtree(folder)
    return {"limit_bytes": LIMIT, "rows_scale": SCALE, "dimension": BOTTOM[-1], "samples": SAMPLES, "disk_random_reads_per_second": limit,
            "peer": peer, "ours": ours, "ratio": ours["rate"] / peer["rate"]}


def torch_windows(python, group, folder, ids):
    script = os.path.join(os.path.dirname(__file__), "peer_torch.py")
    table = f"{folder}/table"
    shapes = ["--tables", "bags", "--bottom", "-".join(map(str, BOTTOM)), "--scale", str(SCALE), "--file", table]
    subprocess.run([python, script, *shapes, "--create"], check=True)
    common.forget(table)
    try:
        contestant = common.Contestant("torch", [python, script, *shapes, "--ids", ids], preexec_fn=group.enter,
                                       stderr=subprocess.DEVNULL)
        try:
            contestant.run(SECONDS)
            before = disk_counts()
            windows = [contestant.run(SECONDS) for _ in range(3)]
            after = disk_counts()
        finally:
            contestant.close()
    finally:
        os.remove(table)
    return {"rate": common.median_rate(windows), "foreign": max(window["foreign"] for window in windows),
            **traffic(before, after, sum(window["seconds"] for window in windows))}


def chanter_windows(bench, chanter, group, folder, dataset):
    config = os.path.join(common.ROOT, "data", "configs", "dlrm.yaml")
    model = f"{folder}/model"
    shapes = [*train.SGD, "--set", f"dimension={BOTTOM[-1]}", "--set", f"bottom={BOTTOM}"]
    common.output(bench, "populate", dataset, "--out", model, "--config", config, *shapes)
    common.forget(f"{model}/data.mdb")
    busy, before, start, children = common.busy_seconds(), disk_counts(), time.monotonic(), os.times()
    out = common.output(chanter, "train", dataset, "--out", model, "--config", config, *shapes, "--memory", MEMORY, "--epochs", "2",
                        "--format", "json", preexec_fn=group.enter, stderr=subprocess.DEVNULL)
    seconds, after, ended = time.monotonic() - start, disk_counts(), os.times()
    own = ended.children_user + ended.children_system - children.children_user - children.children_system
    lines = [json.loads(line) for line in out.splitlines()]
    middle = lines[len(lines) // 2]["batch"]
    return {"rate": train.rate(lines[:-1], lines[-1], lambda line: line["batch"] > middle), "hit_rate": lines[-1]["hit_rate"],
            "foreign": max(0.0, common.busy_seconds() - busy - own) / seconds, **traffic(before, after, seconds)}


def rates(result):
    return {compare.OURS: result["ours"]["rate"], "PyTorch, mapped": result["peer"]["rate"]}


def describe(result):
    size = train.ROWS * result["rows_scale"] * result["dimension"] * 4 / 1e9
    lines = [f"{size:.1f} GB of rows (dimension {result['dimension']}) under a limit of {result['limit_bytes'] / 2**30:g} GiB, page cache included",
             f"  the disk does {result['disk_random_reads_per_second']:,.0f} random 4 KiB reads/s"]
    for name, side in (("PyTorch, mapped, MADV_RANDOM", result["peer"]), ("chanter train", result["ours"])):
        lines.append(f"  {name:30}{side['rate']:9,.0f} samples/s{side['reads_per_second']:10,.0f} reads/s"
                     f"{side['read_megabytes_per_second']:8,.0f} MB/s read{side['written_megabytes_per_second']:8,.0f} MB/s written"
                     f"   (others used {side['foreign']:.2f} cores)")
    return lines + [f"  ratio {result['ratio']:.2f} (goal 5)"]
