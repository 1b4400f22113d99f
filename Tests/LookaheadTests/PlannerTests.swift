import Lookahead
import Primitives
import Testing

/// The cache as sets and dictionaries: the same pin rule, nothing else in common with the planner.
private struct NaiveCache {
  var cached: [RowKey: (last: Int, next: Int)] = [:]
  let configuration: PlannerConfiguration

  /// Misses and evicted rows of one step.
  mutating func step(_ step: Int, _ batch: [RowKey], _ nextUses: [UInt16]) -> (
    misses: [RowKey], evicted: Set<RowKey>
  ) {
    let misses = batch.filter { cached[$0] == nil }
    var evicted: Set<RowKey> = []
    let members = Set(batch)
    func isIdle(_ key: RowKey) -> Bool {
      !members.contains(key) && cached[key]!.last <= step - configuration.lookahead
    }
    if configuration.policy == .window {
      evicted = Set(cached.keys.filter(isIdle))
      for key in evicted { cached[key] = nil }
    } else {
      for _ in 0..<max(0, cached.count + misses.count - configuration.cacheRows) {
        let victim = cached.keys.filter(isIdle).min {
          let (a, b) = (cached[$0]!, cached[$1]!)
          if configuration.policy == .lru { return a.last != b.last ? a.last < b.last : $0 < $1 }
          return a.next != b.next ? a.next > b.next : $0 < $1
        }!
        cached[victim] = nil
        evicted.insert(victim)
      }
    }
    for (key, code) in zip(batch, nextUses) {
      let distance = NextUse.distance(code)
      cached[key] = (step, distance == 0 ? Int(UInt32.max) : step + distance)
    }
    return (misses, evicted)
  }
}

@Suite struct PlannerTests {
  @Test(arguments: [1, 2, 5, 16], EvictionPolicy.allCases)
  func plansLikeTheNaiveSimulation(lookahead: Int, policy: EvictionPolicy) throws {
    for seed in 0..<4 as Range<UInt64> {
      let trace = Trace(seed: seed, batchCount: 120, epochs: 2, nextUsesAreRandom: seed == 3)
      let least = trace.largestUnion(lookahead)
      let configuration = PlannerConfiguration(
        lookahead: lookahead, policy: policy, cacheRows: least + Int(seed) * 100, overlayRows: 0,
        commitRows: 0,
        maximumUniqueRows: trace.maximumUniqueRows, rowsPerBlock: 10, trains: false)
      var planner = Planner(configuration, firstStep: 0)
      var naive = NaiveCache(configuration: configuration)
      let plan = StepPlan(maximumUniqueRows: trace.maximumUniqueRows)
      var keyInSlot: [UInt32: RowKey] = [:]
      for step in trace.batches.indices {
        try trace.withAccess(step) { try planner.plan($0, into: plan) }
        let expected = naive.step(step, trace.batches[step], trace.nextUses[step])
        let evicted = plan.evictedSlots.prefix(plan.evictedCount).map { keyInSlot[$0]! }
        #expect(Set(evicted) == expected.evicted, "seed \(seed), step \(step)")
        #expect(evicted.count == expected.evicted.count)
        #expect(
          Array(plan.blockRowKeys.prefix(plan.blockRowCount)) == expected.misses, "seed \(seed), step \(step)"
        )
        #expect(plan.hitCount == trace.batches[step].count - expected.misses.count)
        #expect(
          plan.blockCount == Set(expected.misses.map { [UInt64($0.table), UInt64($0.row / 10)] }).count)
        for (slot, key) in zip(plan.slots.prefix(plan.uniqueCount), trace.batches[step]) {
          keyInSlot[slot] = key
        }
        #expect(Set(plan.slots.prefix(plan.uniqueCount)).count == plan.uniqueCount)
      }
    }
  }

  @Test func capacityBelowTheLargestUnionIsAnErrorNotACrash() throws {
    let trace = Trace(seed: 1, batchCount: 50)
    let configuration = PlannerConfiguration(
      lookahead: 4, policy: .min, cacheRows: trace.largestUnion(4) - 1, overlayRows: 0, commitRows: 0,
      maximumUniqueRows: trace.maximumUniqueRows, rowsPerBlock: 10, trains: false)
    var planner = Planner(configuration, firstStep: 0)
    let plan = StepPlan(maximumUniqueRows: trace.maximumUniqueRows)
    var failure: ChanterError?
    do {
      for step in trace.batches.indices { try trace.withAccess(step) { try planner.plan($0, into: plan) } }
    } catch let error as ChanterError {
      failure = error
    }
    #expect(failure?.kind == .corrupt)
  }

  @Test func minFetchesNoMoreThanTheOthers() throws {
    let trace = Trace(seed: 9, batchCount: 300)
    var fetched: [EvictionPolicy: Int] = [:]
    for policy in EvictionPolicy.allCases {
      let configuration = PlannerConfiguration(
        lookahead: 8, policy: policy, cacheRows: trace.largestUnion(8), overlayRows: 0, commitRows: 0,
        maximumUniqueRows: trace.maximumUniqueRows, rowsPerBlock: 10, trains: false)
      var planner = Planner(configuration, firstStep: 0)
      let plan = StepPlan(maximumUniqueRows: trace.maximumUniqueRows)
      for step in trace.batches.indices {
        try trace.withAccess(step) { try planner.plan($0, into: plan) }
        fetched[policy, default: 0] += plan.fetchedCount
      }
    }
    #expect(fetched[.min]! < fetched[.lru]! && fetched[.lru]! < fetched[.window]!)
  }
}
