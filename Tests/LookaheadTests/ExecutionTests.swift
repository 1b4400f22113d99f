import Lookahead
import Primitives
import Testing

/// Carries plans out on plain arrays, where the value of a row is the number of times it was trained, and checks
/// every value that a batch reads and every value that a commit freezes against the truth.
private struct PlainMachine {
  let trace: Trace
  let configuration: PlannerConfiguration
  var slots: [Int]
  var overlay: [Int]
  var blocks: [RowKey: Int] = [:]
  /// Committed rows that no compaction moved yet.
  var chunks: [(step: Int, rows: [RowKey: Int])] = []
  var truth: [RowKey: Int] = [:]
  var compactedThrough = -1
  var largestOverlay = 0
  var commitCount = 0
  var compactionCount = 0
  /// Steps that waited for everything before them.
  var drainCount = 0

  init(_ trace: Trace, _ configuration: PlannerConfiguration) {
    self.trace = trace
    self.configuration = configuration
    slots = Array(repeating: -1, count: configuration.cacheRows)
    overlay = Array(repeating: -1, count: configuration.overlayRows)
  }

  mutating func execute(_ plan: StepPlan) {
    if let step = plan.awaitsCompactionAfter {
      compact(through: step)
      compactedThrough = step
    }
    for index in 0..<plan.evictedCount {
      let slot = Int(plan.evictedSlots[index])
      if plan.evictedTo[index] != StepPlan.discarded { overlay[Int(plan.evictedTo[index])] = slots[slot] }
      slots[slot] = -1
    }
    for index in 0..<plan.overlayCount {
      slots[Int(plan.overlaySlots[index])] = overlay[Int(plan.overlayFrom[index])]
      overlay[Int(plan.overlayFrom[index])] = -1
    }
    for index in 0..<plan.initialCount { slots[Int(plan.initialSlots[index])] = 0 }
    for index in 0..<plan.blockRowCount {
      slots[Int(plan.blockRowSlots[index])] = blocks[plan.blockRowKeys[index]] ?? 0
    }
    largestOverlay = max(largestOverlay, overlay.count { $0 >= 0 })
  }

  /// As late as it may run: the least that the plan relies on.
  private mutating func compact(through step: Int) {
    compactionCount += 1
    for chunk in chunks where chunk.step <= step {
      blocks.merge(chunk.rows) { _, new in new }
    }
    chunks.removeAll { $0.step <= step }
  }

  mutating func train(_ plan: StepPlan) {
    for (slot, key) in zip(plan.slots.prefix(plan.uniqueCount), trace.batches[plan.step]) {
      #expect(slots[Int(slot)] == truth[key] ?? 0, "step \(plan.step), row \(key)")
      slots[Int(slot)] += 1
      truth[key, default: 0] += 1
    }
  }

  mutating func freeze(_ freeze: FreezePlan, changed: Set<RowKey>) {
    var rows: [RowKey: Int] = [:]
    for index in 0..<freeze.count {
      let place = freeze.places[index]
      let isInOverlay = place & FreezePlan.overlayFlag != 0
      rows[freeze.keys[index]] =
        isInOverlay ? overlay[Int(place ^ FreezePlan.overlayFlag)] : slots[Int(place)]
    }
    #expect(rows.count == freeze.count)
    #expect(Set(rows.keys) == changed, "commit after step \(freeze.step)")
    for (key, value) in rows { #expect(value == truth[key], "commit after step \(freeze.step), row \(key)") }
    chunks.append((freeze.step, rows))
    commitCount += 1
  }
}

@Suite struct ExecutionTests {
  /// Steps are carried out as early as allowed (`eager`) or only when their batch needs them.
  private func run(_ trace: Trace, _ configuration: PlannerConfiguration, eager: Bool) throws -> PlainMachine
  {
    var machine = PlainMachine(trace, configuration)
    var planner = Planner(configuration, firstStep: 0)
    var plans: [StepPlan] = []
    var freezes: [Int: FreezePlan] = [:]
    func take(atEnd: Bool, _ planner: inout Planner) {
      while let step = planner.readyFreeze(atEnd: atEnd) {
        let freeze = FreezePlan(commitRows: configuration.commitRows)
        planner.takeFreeze(into: freeze)
        #expect(freeze.step == step)
        freezes[step] = freeze
      }
    }
    for step in trace.batches.indices {
      let plan = StepPlan(maximumUniqueRows: configuration.maximumUniqueRows)
      try trace.withAccess(step) { try planner.plan($0, into: plan) }
      plans.append(plan)
      take(atEnd: false, &planner)
    }
    planner.finish()
    take(atEnd: true, &planner)

    var executed = 0
    var committed = -1
    func executeThrough(_ step: Int, _ machine: inout PlainMachine) {
      while executed <= min(step, plans.count - 1) {
        // The pipeline is drained: this step waits for a commit that is still to come.
        if let awaited = plans[executed].awaitsCompactionAfter, awaited > committed { return }
        machine.execute(plans[executed])
        executed += 1
      }
    }
    var changed: Set<RowKey> = []
    for step in plans.indices {
      executeThrough(eager ? step + configuration.lookahead - 1 : step, &machine)
      machine.train(plans[step])
      changed.formUnion(trace.batches[step])
      if let freeze = freezes[step] {
        executeThrough(freeze.executedStep, &machine)
        #expect(executed == freeze.executedStep + 1)
        machine.freeze(freeze, changed: changed)
        changed = []
        committed = step
      }
      #expect((freezes[step] != nil) == (plans[step].commitsAfter || step == plans.count - 1))
    }
    #expect(changed.isEmpty)
    machine.drainCount = plans.count { $0.awaitsCompactionAfter == $0.step - 1 }
    return machine
  }

  @Test(arguments: [1, 2, 3, 8], EvictionPolicy.allCases)
  func everyReadAndEveryCommitSeesTheNewestValue(lookahead: Int, policy: EvictionPolicy) throws {
    for seed in 0..<3 as Range<UInt64> {
      let trace = Trace(seed: seed, batchCount: 90, epochs: 2, nextUsesAreRandom: seed == 1)
      let unique = trace.maximumUniqueRows
      let advised = PlannerConfiguration.leastOverlayRows(lookahead: lookahead, maximumUniqueRows: unique)
      for (extraCache, overlayRows, commitRows) in [
        (0, unique, unique), (0, advised, unique), (50, advised + 200, 4 * unique), (1000, 5000, 9000),
      ] {
        let configuration = PlannerConfiguration(
          lookahead: lookahead, policy: policy, cacheRows: trace.largestUnion(lookahead) + extraCache,
          overlayRows: overlayRows, commitRows: commitRows, commitInterval: 8,
          commitsPerCompaction: 3,
          maximumUniqueRows: unique, rowsPerBlock: 10, trustsFirstTouchBefore: 90)
        for eager in [false, true] {
          let machine = try run(trace, configuration, eager: eager)
          #expect(machine.largestOverlay <= configuration.overlayRows)
          #expect(machine.commitCount >= trace.batches.count / 8)
          #expect(machine.compactionCount > 0)
          // The least overlay drains the pipeline again and again, one with room for all never does.
          if overlayRows == unique, lookahead > 1 { #expect(machine.drainCount > 10) }
          if overlayRows == 5000 { #expect(lookahead == 1 || machine.drainCount == 0) }
        }
      }
    }
  }

  @Test func theSameBatchesGiveTheSamePlan() throws {
    let trace = Trace(seed: 5, batchCount: 60)
    let configuration = PlannerConfiguration(
      lookahead: 4, policy: .min, cacheRows: trace.largestUnion(4) + 20,
      overlayRows: PlannerConfiguration.leastOverlayRows(
        lookahead: 4, maximumUniqueRows: trace.maximumUniqueRows) + 40, commitRows: 200, commitInterval: 8,
      maximumUniqueRows: trace.maximumUniqueRows, rowsPerBlock: 10)
    let plans = try (0..<2).map { _ in
      var planner = Planner(configuration, firstStep: 0)
      let plan = StepPlan(maximumUniqueRows: trace.maximumUniqueRows)
      let freeze = FreezePlan(commitRows: 200)
      return try trace.batches.indices.map { step in
        try trace.withAccess(step) { try planner.plan($0, into: plan) }
        while planner.readyFreeze() != nil { planner.takeFreeze(into: freeze) }
        return Array(plan.slots.prefix(plan.uniqueCount)) + plan.evictedTo.prefix(plan.evictedCount)
      }
    }
    #expect(plans[0] == plans[1])
  }
}
