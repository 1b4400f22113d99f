"""A billion rows on disk, trained on with 4 GiB.

Makes a dataset whose 10^9 rows (dimension 8 with row-wise Adagrad, 36 bytes) are declared by tables in the proportions of the
Criteo-Kaggle log, and a model that stores every one of them, about 37 GB in the folder; then trains on the log's last samples,
which read rows all over the disk. Everything is removed at the end.
"""
import json
import os
import shutil
import subprocess
import tempfile
import time

from . import common

ROW_BYTES = 36


def arguments(parser):
    parser.add_argument("--rows", type=int, default=1_000_000_000)
    parser.add_argument("--samples", type=int, default=4_000_000)
    parser.add_argument("--memory", default="4GiB")
    parser.add_argument("--folder", default=tempfile.gettempdir())


def run(arguments):
    free = shutil.disk_usage(arguments.folder).free
    needed = int(arguments.rows * ROW_BYTES * 1.15) + arguments.samples * 150
    if free < needed:
        raise SystemExit(f"{arguments.folder} has {free / 1e9:.0f} GB free, {needed / 1e9:.0f} are needed")
    bench = common.build("ChanterBench")
    chanter = common.build("chanter")
    facts = common.machine()
    folder = tempfile.mkdtemp(prefix="chanter-billion-", dir=arguments.folder)
    data, model = f"{folder}/data", f"{folder}/model"
    configuration = ["--config", os.path.join(common.ROOT, "data", "configs", "dlrm.yaml"), "--set", "dimension=8",
                     "--set", "bottom=[512, 256, 64, 8]"]
    try:
        trace = json.loads(common.output(bench, "trace", data, "--rows", str(arguments.rows), "--samples",
                                         str(arguments.samples)))
        filled = json.loads(common.output(bench, "populate", data, "--out", model, *configuration))
        size = os.path.getsize(f"{model}/data.mdb")
        # Into a file: a pipe that nobody reads meanwhile would stop the run once it is full.
        with open(f"{folder}/lines", "w+") as printed:
            process = subprocess.Popen(
                [chanter, "train", data, "--out", model, "--memory", arguments.memory, "--epochs", "2", "--format",
                 "json", *configuration], stdout=printed, stderr=subprocess.DEVNULL)
            peak = watch(process)
            if process.wait():
                raise SystemExit(f"training ended with status {process.returncode}")
            printed.seek(0)
            run = json.loads(printed.readlines()[-1])
        plan = json.loads(common.output(chanter, "plan", data, "--memory", arguments.memory, "--format", "json",
                                        *configuration, stderr=subprocess.DEVNULL))
        grown = os.path.getsize(f"{model}/data.mdb")
    finally:
        shutil.rmtree(folder)
    batches = (arguments.samples + 2047) // 2048
    result = {"benchmark": "billion", **facts, "rows": trace["count"], "row_bytes": ROW_BYTES, "file_bytes": size,
              "file_bytes_after": grown, "fill_seconds": filled["seconds"], "touched_rows": plan["touched_rows"],
              "peak_anonymous_bytes": peak, "batches": batches, "run": run,
              "blocks_read_per_batch": run["blocks_read"] / batches,
              "bytes_written_per_batch": run["bytes_written"] / batches}
    waits = ", ".join(f"{name} {seconds:.1f}" for name, seconds in run["seconds_waiting_for"].items())
    common.report(arguments, result, [
        common.describe(facts),
        f"{result['rows']:,} rows of {ROW_BYTES} bytes declared and on disk ({size / 1e9:.1f} GB, made in"
        f" {filled['seconds']:.0f} s), {plan['touched_rows']:,} touched",
        f"{run['samples_per_second']:,.0f} samples/s with --memory {arguments.memory}, peak {peak / 2**20:,.0f} MiB of"
        f" anonymous memory; hit rate {run['hit_rate']:.1%}",
        f"a batch of 2,048 reads {result['blocks_read_per_batch']:,.0f} blocks and writes"
        f" {result['bytes_written_per_batch'] / 1e6:.2f} MB; file afterwards {grown / 1e9:.1f} GB",
        f"waited of {run['seconds']:.1f} s: {waits}"])


def watch(process):
    """The highest resident anonymous memory of a process until its output ends."""
    peak = 0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status") as file:
                peak = max([peak] + [int(line.split()[1]) << 10 for line in file if line.startswith("RssAnon")])
        except OSError:
            break
        time.sleep(0.05)
    return peak
