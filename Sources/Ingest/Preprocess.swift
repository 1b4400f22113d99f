import BatchStore
import Primitives

/// Turns logs into a dataset.
///
/// The inputs are read once. Reading numbers the values of every column in order of first appearance and leaves the
/// samples in a temporary file; where the training part ends is known then, and with it the rows; so each sample is
/// read back, its numbers become rows, and batches are made. Memory grows with distinct values, never with samples, and stays
/// below `options.memory`; the result does not depend on the threads or the memory.
///
/// With `options.base` the result is that dataset with what these inputs add to it as one more part: its rows keep their numbers and
/// its files are linked; values that it lacks get the rows after its own.
///
/// A process that is killed leaves its work beside the output, under `OUT.partial`; the same call goes on from there and makes
/// the same bytes. On any error nothing named `options.output` exists and what was begun is removed.
/// - Parameters:
///   - notice: called with what a user should know, such as why an earlier run is not continued.
///   - progress: called several times a second; throwing from it stops the run as a kill does: its work stays.
public func preprocess(
  _ options: PreprocessOptions, notice: @escaping (String) -> Void = { _ in },
  progress show: @escaping (PreprocessProgress) throws -> Void = { _ in }
) throws -> PreprocessReport {
  try options.validate()
  let memory = try PreprocessMemory(options, options.schema.layout)
  let survey = try InputSurvey(options.allInputs)
  if memory.threads < options.threads {
    notice("--memory serves \(memory.threads) of \(options.threads) threads")
  }
  let work = try RunWork(
    options.output, RunWork.Stamp(inputs: survey.inputs, options: options.stamp()), notice: notice)
  try work.requireSpace(survey.neededBytes + options.bytesOfBase(in: work.output))
  let run = PreprocessRun(
    options: options, memory: memory, work: work, inputBytes: survey.bytes,
    pool: WorkerPool(threadCount: memory.threads), notice: notice
  ) { step in try work.leaving { try show(step) } }
  return try work.startingOver(notice: notice) { try finish(run) }
}

private func finish(_ run: PreprocessRun) throws -> PreprocessReport {
  let work = run.work
  let (log, writer) =
    try work.state(of: .encoded).map { ($0, try run.writer(continuing: $0)) } ?? run.encode()
  // From here on the batches tell all; what they were made from needs no room any more.
  work.remove(.arranged, .samples, .spilled, .resolved)
  try work.linkVocabulary()
  let values = writer.values(of: .holdout)
  let manifest = try writer.finish(vocabularyIdentity: log.identity) { step, done, total in
    switch step {
    case .kept: run.notice("kept: \(done) of \(total) batches written")
    case .nextUses: try run.progress(PreprocessProgress(phase: .nextUses, done: done, total: total))
    case .writing: try run.progress(PreprocessProgress(phase: .writing, done: done, total: total))
    }
  }
  let segmentBytes = Split.allCases.flatMap { manifest.split($0).segments }.reduce(0) { $0 + $1.bytes }
  return PreprocessReport(
    manifest: manifest, holdoutValues: values.all, holdoutUnseen: values.unseen,
    skipped: log.skipped, thresholds: log.thresholds,
    bytes: try File(reading: "\(work.output.path)/\(VocabularyFile.fileName)").size() + segmentBytes)
}
