import Synchronization

/// A fixed set of threads that run numbered tasks; the calling thread is one of them.
///
/// Tasks are claimed in order by whoever is free, so a task must not depend on which worker runs it: results may
/// depend on the task's number only. That is what makes a run independent of the thread count.
public final class WorkerPool: Sendable {
  /// What tasks do; made once by who runs the same again and again, since every closure that is handed over costs
  /// allocations.
  public final class Work {
    fileprivate let perform: (_ task: Int, _ worker: Int) -> Void

    public init(_ perform: @escaping (_ task: Int, _ worker: Int) -> Void) { self.perform = perform }
  }

  private struct State: @unchecked Sendable {
    // Unchecked Sendable: `work` is only followed between the start and the end of the `run` that set it, which keeps it.
    var generation = 0
    var work: Unmanaged<Work>?
    var count = 0
    var running = 0
    var stopping = false
  }

  /// Threads that run tasks, the caller of `run` included.
  public let threadCount: Int
  private let monitor = Monitor(State())
  private let threads: [NamedThread]

  public init(threadCount: Int) {
    precondition(threadCount >= 1)
    self.threadCount = threadCount
    let monitor = monitor
    // The counter is reached through a box, because a thread must not keep the pool alive.
    let next = SharedCounter()
    counter = next
    threads = (1..<max(1, threadCount)).map { worker in
      NamedThread("compute-\(worker)") { Self.work(worker, monitor, next) }
    }
  }

  private final class SharedCounter: Sendable {
    let value = Atomic<Int>(0)
    /// Copies of the state's numbers, to look at without its lock.
    let generation = Atomic<Int>(0)
    let running = Atomic<Int>(0)
  }

  /// Looks a few thousand times, some 20 microseconds, whether something is so, before its thread goes to sleep for it: a step
  /// has several barriers, and to be woken costs longer than the work between some of them.
  private static func watch(_ isSo: () -> Bool) {
    for _ in 0..<1_000 {
      if isSo() { return }
      CPU.pause()
    }
  }
  private let counter: SharedCounter

  deinit {
    monitor.update { $0.stopping = true }
    for thread in threads { _ = thread.join() }
  }

  /// Runs `body(task, worker)` for every task in 0 ..< count and returns when all are done. Not reentrant, and called
  /// from one thread at a time.
  public func run(_ count: Int, _ body: (_ task: Int, _ worker: Int) -> Void) {
    if threads.isEmpty || count <= 1 {
      for task in 0..<count { body(task, 0) }
      return
    }
    withoutActuallyEscaping(body) { run(count, Work($0)) }
  }

  /// The same without an allocation.
  public func run(_ count: Int, _ work: Work) {
    if threads.isEmpty || count <= 1 {
      for task in 0..<count { work.perform(task, 0) }
      return
    }
    counter.value.store(0, ordering: .relaxed)
    let helpers = threads.count
    counter.running.store(helpers, ordering: .relaxed)
    let shared = Unmanaged.passUnretained(work)
    monitor.update { state in
      state.generation += 1
      state.work = shared
      state.count = count
      state.running = helpers
      counter.generation.store(state.generation, ordering: .relaxed)
    }
    Self.claim(counter, count, worker: 0, shared)
    Self.watch { counter.running.load(ordering: .relaxed) == 0 }
    monitor.wait { state -> Void? in state.running == 0 ? () : nil }
    withExtendedLifetime(work) {}
  }

  private static func claim(
    _ counter: SharedCounter, _ count: Int, worker: Int, _ work: Unmanaged<Work>
  ) {
    while true {
      let task = counter.value.wrappingAdd(1, ordering: .relaxed).oldValue
      guard task < count else { return }
      work._withUnsafeGuaranteedRef { $0.perform(task, worker) }
    }
  }

  private static func work(_ worker: Int, _ monitor: Monitor<State>, _ counter: SharedCounter) {
    var seen = 0
    while true {
      watch { counter.generation.load(ordering: .relaxed) > seen }
      let job: State? = monitor.wait { state -> State?? in
        if state.stopping { return .some(nil) }
        return state.generation > seen ? .some(state) : nil
      }
      guard let job, let work = job.work else { return }
      seen = job.generation
      claim(counter, job.count, worker: worker, work)
      monitor.update {
        $0.running -= 1
        counter.running.store($0.running, ordering: .relaxed)
      }
    }
  }
}
