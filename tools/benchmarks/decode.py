"""Batches decoded by one thread, beside the goal of 10 million samples a second and a plain copy of what they decode to.

Also the bytes of a sample. Writes a Criteo-like trace with dense columns in half precision to --folder, or takes the dataset
that --dataset names. The files are in the system's cache. Rates are by processor time.
"""
import os
import shutil
import tempfile

from . import common

GOAL = 10e6


def arguments(parser):
    parser.add_argument("--dataset", help="a dataset that is there already")
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--quiet", type=float, default=common.QUIET, help="cores that others may use in a window")


def run(arguments):
    binary = common.build("ChanterBench")
    folder = tempfile.mkdtemp(prefix="chanter-bench-", dir=arguments.folder)
    try:
        dataset = arguments.dataset
        if dataset is None:
            dataset = os.path.join(folder, "dataset")
            common.output(binary, "trace", dataset, "--samples", str(arguments.samples), "--batch-size", str(arguments.batch),
                          "--fp16")
        facts = common.machine()
        decoder = common.Contestant("decode", [binary, "decode", dataset])
        copier = common.Contestant("copy", [binary, "decode", dataset, "--copy"])
        try:
            windows, dropped = common.take_turns([decoder, copier], arguments.rounds, arguments.seconds, 60, arguments.quiet)
        finally:
            decoder.close()
            copier.close()
    finally:
        shutil.rmtree(folder)
    # Nanoseconds of processor time a sample.
    spent, copying = (1e3 * common.median_cpu(windows[name]) if windows[name] else None for name in ("decode", "copy"))
    result = {"benchmark": "decode", **facts, **decoder.facts, "cpu_nanoseconds_per_sample": spent,
              "copy_cpu_nanoseconds_per_sample": copying, "samples_per_second": 1e9 / spent if spent else None, "goal": GOAL,
              "windows": len(windows["decode"]), "dropped": dropped}
    speed = f"{result['samples_per_second']:,.0f} samples/s on one thread (goal {GOAL:,.0f}): " \
            f"{spent:.1f} ns of CPU a sample, beside {copying:.1f} for a copy" if spent else "no quiet window"
    common.report(arguments, result, [
        common.describe(facts),
        f"{speed}; {result['bytes_per_sample']:.1f} bytes a sample on disk, {result['raw_bytes_per_sample']:.1f} decompressed; "
        f"batch {result['batch']:,.0f}, medians of {result['windows']} windows, {dropped} dropped"])
