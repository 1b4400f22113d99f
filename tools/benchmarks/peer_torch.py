"""Another framework at the same training step: DLRM in PyTorch, with the tables as a user of each library has them.

Takes turns with our program (see `Contestant` in common.py). Runs in the virtual environment that `tools/bench compare`
makes. Ids, dense features and labels lie in memory before the clock starts.
"""
import argparse
import ctypes
import json
import os
import sys
import time

import numpy
import torch

DENSE_COUNT = 13
KAGGLE_ROWS = [1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194, 27, 14992, 5461306, 10,
               5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572]
PRIME = 4294967311
EPSILON = 1e-8


def zipf_ids(random, rows, count, exponent):
    """Ids with frequency (rank + 1)^-exponent, frequent ranks spread over the table. As `zipfRank` of ChanterBench."""
    uniform = random.random(count)
    if abs(exponent - 1) < 1e-9:
        ranks = numpy.exp(uniform * numpy.log(rows + 1))
    else:
        ranks = (uniform * ((rows + 1) ** (1 - exponent) - 1) + 1) ** (1 / (1 - exponent))
    ranks = numpy.minimum(ranks.astype(numpy.int64) - 1, rows - 1)
    return ranks * (PRIME % rows) % rows if rows > 64 else ranks


class Network(torch.nn.Module):
    """The MLPs and the dot interaction."""

    def __init__(self, tables, bottom, top):
        super().__init__()
        vectors = tables + 1
        self.bottom = self.layers([DENSE_COUNT, *bottom], rectify_last=True)
        self.top = self.layers([bottom[-1] + vectors * (vectors - 1) // 2, *top], rectify_last=False)
        below = torch.tril_indices(vectors, vectors, -1)
        self.register_buffer("pairs", below[0] * vectors + below[1])

    @staticmethod
    def layers(sizes, rectify_last):
        result = []
        for inputs, outputs in zip(sizes, sizes[1:]):
            result += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
        return torch.nn.Sequential(*(result if rectify_last else result[:-1]))

    def forward(self, dense, embeddings):
        first = self.bottom(dense)
        vectors = torch.cat([first.unsqueeze(1), embeddings], dim=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1).index_select(1, self.pairs)
        return self.top(torch.cat([first, products], dim=1)).squeeze(1)


class EmbeddingBags:
    """A torch.nn.EmbeddingBag with sparse gradients for each table, and an optimizer of torch.optim.

    torch has no row-wise Adagrad; that one is written by hand on the coalesced gradient, as an experienced user would.
    """

    def __init__(self, rows, dimension, options, weights=None):
        if weights is None:
            weights = torch.empty(sum(rows), dimension).uniform_(-0.01, 0.01)
        self.bags, first = [], 0
        for count in rows:
            self.bags.append(torch.nn.EmbeddingBag(
                count, dimension, mode="sum", sparse=True, _weight=weights[first:first + count]))
            first += count
        self.parameters = [bag.weight for bag in self.bags]
        self.rate, self.states, self.optimizer = options.rate, None, None
        if options.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(self.parameters, lr=options.rate)
        else:
            self.states = [torch.zeros(count) for count in rows]
        self.offsets = torch.arange(options.batch)

    def forward(self, ids):
        return torch.stack([bag(ids[table], self.offsets) for table, bag in enumerate(self.bags)], dim=1)

    @torch.no_grad()
    def update(self):
        if self.optimizer:
            self.optimizer.step()
        else:
            for weight, state in zip(self.parameters, self.states):
                gradient = weight.grad.coalesce()
                used, values = gradient.indices()[0], gradient.values()
                sums = state.index_select(0, used) + values.square().mean(1)
                state.index_copy_(0, used, sums)
                step = values / (sums.sqrt() + EPSILON).unsqueeze(1)
                weight.index_add_(0, used, step, alpha=-self.rate)
        for weight in self.parameters:
            weight.grad = None


class FusedTables:
    """FBGEMM's split table-batched embeddings on the CPU; the update happens in the backward pass."""

    def __init__(self, rows, dimension, options):
        import fbgemm_gpu.split_table_batched_embeddings_ops_training as fbgemm
        kind = fbgemm.OptimType.EXACT_SGD if options.optimizer == "sgd" else fbgemm.OptimType.EXACT_ROWWISE_ADAGRAD
        self.tables = fbgemm.SplitTableBatchedEmbeddingBagsCodegen(
            [(count, dimension, fbgemm.EmbeddingLocation.HOST, fbgemm.ComputeDevice.CPU) for count in rows],
            optimizer=kind, learning_rate=options.rate, eps=EPSILON)
        self.tables.init_embedding_weights_uniform(-0.01, 0.01)
        self.shape = (options.batch, len(rows), dimension)
        self.offsets = torch.arange(options.batch * len(rows) + 1)

    def forward(self, ids):
        return self.tables(ids.reshape(-1), self.offsets).view(self.shape)

    def update(self):
        pass


class TorchRec:
    """TorchRec's fused embedding bag collection over keyed jagged tensors."""

    def __init__(self, rows, dimension, options):
        import torchrec
        from torchrec.modules.embedding_configs import EmbeddingBagConfig
        from torchrec.modules.fused_embedding_modules import FusedEmbeddingBagCollection
        self.keys = [f"feature{table}" for table in range(len(rows))]
        configurations = [
            EmbeddingBagConfig(name=f"table{table}", embedding_dim=dimension, num_embeddings=count, feature_names=[key])
            for table, (key, count) in enumerate(zip(self.keys, rows))]
        kind = torch.optim.SGD if options.optimizer == "sgd" else torchrec.optim.RowWiseAdagrad
        self.tables = FusedEmbeddingBagCollection(
            configurations, optimizer_type=kind, optimizer_kwargs={"lr": options.rate}, device=torch.device("cpu"))
        self.jagged = torchrec.KeyedJaggedTensor
        self.shape = (options.batch, len(rows), dimension)
        self.lengths = torch.ones(options.batch * len(rows), dtype=torch.int64)

    def forward(self, ids):
        return self.tables(self.jagged(self.keys, ids.reshape(-1), lengths=self.lengths)).values().view(self.shape)

    def update(self):
        pass


def mapped_weights(path, rows, dimension):
    """A table in a file, mapped into memory; the system is told that reads are random, or it reads ahead for each."""
    weights = torch.from_file(path, shared=True, size=rows * dimension, dtype=torch.float32).view(rows, dimension)
    library = ctypes.CDLL(None, use_errno=True)
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if library.madvise(weights.data_ptr(), rows * dimension * 4, 1) != 0:  # MADV_RANDOM
        sys.exit(f"madvise failed: {os.strerror(ctypes.get_errno())}")
    return weights


def write_table(path, rows, dimension):
    """The file of `mapped_weights`, a block at a time."""
    block = numpy.random.default_rng(1).uniform(-0.01, 0.01, 1 << 22).astype(numpy.float32)
    with open(path, "wb") as file:
        for first in range(0, rows * dimension, block.size):
            file.write(memoryview(block[:rows * dimension - first]))
        file.flush()
        os.fsync(file.fileno())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", choices=["bags", "fbgemm", "torchrec"], required=True)
    parser.add_argument("--bottom", default="512-256-64-16")
    parser.add_argument("--top", default="512-256-1")
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--optimizer", choices=["sgd", "adagrad"], default="sgd")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--zipf", type=float, default=1.0)
    parser.add_argument("--samples", type=int, default=262_144)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--file", help="map the tables from this file (bags only)")
    parser.add_argument("--ids", help="take the ids from this file: [tables, samples], unsigned 32 bit")
    parser.add_argument("--create", action="store_true", help="write that file and end")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    bottom = [int(size) for size in options.bottom.split("-")]
    top = [int(size) for size in options.top.split("-")]
    rows = [max(1, int(count * options.scale)) if count > 10_000 else count for count in KAGGLE_ROWS]
    if options.create:
        return write_table(options.file, sum(rows), bottom[-1])
    network = Network(len(rows), bottom, top)
    dense_kind = torch.optim.SGD if options.optimizer == "sgd" else torch.optim.Adagrad
    dense_optimizer = dense_kind(network.parameters(), lr=options.rate, fused=True)
    if options.tables == "bags":
        weights = mapped_weights(options.file, sum(rows), bottom[-1]) if options.file else None
        tables = EmbeddingBags(rows, bottom[-1], options, weights)
    else:
        tables = {"fbgemm": FusedTables, "torchrec": TorchRec}[options.tables](rows, bottom[-1], options)

    random = numpy.random.default_rng(1)
    if options.ids:
        stored = numpy.fromfile(options.ids, dtype=numpy.uint32).reshape(len(rows), -1)
        count = stored.shape[1] // options.batch
        # A dataset numbers rows by first appearance; raw ids lie anywhere.
        ids = [column.astype(numpy.int64) % size * (PRIME % size) % size if size > 64 else column.astype(numpy.int64) % size
               for column, size in zip(stored, rows)]
    else:
        count = max(8, options.samples // options.batch)
        ids = [zipf_ids(random, size, count * options.batch, options.zipf) for size in rows]
    batches = []
    for index in range(count):
        part = slice(index * options.batch, (index + 1) * options.batch)
        batches.append((
            torch.from_numpy(random.random((options.batch, DENSE_COUNT), dtype=numpy.float32)),
            torch.from_numpy(numpy.stack([column[part] for column in ids])),
            torch.from_numpy((random.random(options.batch) < 0.25).astype(numpy.float32))))
    del ids

    def step(dense, rows_used, labels):
        logits = network(dense, tables.forward(rows_used))
        torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()
        dense_optimizer.step()
        dense_optimizer.zero_grad(set_to_none=True)
        tables.update()

    for index in range(3):
        step(*batches[index])
    print(json.dumps({"torch": torch.__version__}), flush=True)
    done = 3
    for line in sys.stdin:
        deadline = float(line.split()[1])
        first, cpu, start = done, time.process_time(), time.perf_counter()
        while time.perf_counter() - start < deadline or done == first:
            step(*batches[done % count])
            done += 1
        seconds = time.perf_counter() - start
        print(json.dumps({"samples": (done - first) * options.batch, "seconds": seconds,
                          "cpu_seconds": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    main()
