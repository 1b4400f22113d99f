import BatchStore
import Primitives

/// Makes a dataset of the samples of another one with other batches, without the log that they came from.
///
/// Row numbers stay what they are, and with them the identity of the vocabulary: a model trained on the one dataset can
/// be scored on the other; unless `options.renumbers` asks for those that preprocessing would give in the new order. The batching is new, so that an unfinished training cannot go on there. Next uses and first
/// touches are those of the new batches. Splits stay apart; a shuffle is of the training split alone, an order by time of each.
///
/// A process that is killed leaves its work beside the output, under `OUT.partial`; the same call goes on from there and makes the
/// same bytes. Memory stays below `options.memory`. On any error nothing named `options.output` exists, and what was begun is removed.
/// - Parameters:
///   - notice: called with what a user should know.
///   - progress: called several times a second; throwing from it stops the run as a kill does: its work stays.
public func rebatch(
  _ options: RebatchOptions, notice: @escaping (String) -> Void = { _ in },
  progress show: @escaping (RebatchProgress) throws -> Void = { _ in }
) throws -> RebatchReport {
  try options.validate()
  let dataset = try Dataset(opening: options.dataset)
  let manifest = dataset.manifest
  let memory = try RebatchMemory(options, dataset)
  if memory.threads < options.threads {
    notice("--memory serves \(memory.threads) of \(options.threads) threads")
  }
  if options.renumbers, !manifest.hasVocabulary {
    throw ChanterError(
      .badInput,
      "it was written from row numbers and has no values that could be numbered anew; leave out --renumber",
      path: options.dataset)
  }
  if options.ordersByTime, !manifest.hasTimes {
    throw ChanterError(
      .badInput,
      "its samples have no times; preprocess the log with a schema that has a column of `type: time`, or leave out --by-time",
      path: options.dataset)
  }
  let work = try RunWork(options.output, options.stamp(of: dataset), notice: notice)
  let pool = WorkerPool(threadCount: memory.threads)
  return try work.startingOver(notice: notice) {
    try finish(
      RebatchRun(
        options: options, dataset: dataset, memory: memory, work: work, pool: pool, notice: notice
      ) { step in try work.leaving { try show(step) } })
  }
}

private func finish(_ run: RebatchRun) throws -> RebatchReport {
  let (work, manifest) = (run.work, run.manifest)
  let vocabulary = try run.vocabulary()
  let writer = try run.encode(vocabulary)
  if vocabulary.identity != nil { try work.linkVocabulary() }
  let made = try writer.finish(
    vocabularyIdentity: vocabulary.identity,
    earlierVocabularies: run.options.renumbers ? [] : manifest.vocabularyAncestors
  ) { step, done, total in
    switch step {
    case .kept: run.notice("kept: \(done) of \(total) batches written")
    case .nextUses: try run.progress(RebatchProgress(phase: .nextUses, done: done, total: total))
    case .writing: try run.progress(RebatchProgress(phase: .writing, done: done, total: total))
    }
  }
  let vocabularyBytes =
    made.hasVocabulary ? try File(reading: "\(work.output.path)/\(VocabularyFile.fileName)").size() : 0
  return RebatchReport(
    manifest: made,
    bytes: Split.allCases.flatMap { made.split($0).segments }.reduce(vocabularyBytes) { $0 + $1.bytes })
}
