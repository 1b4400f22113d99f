import Primitives
import Testing

@testable import TableStore

@Suite struct ReadAheadTrialTests {
  /// Blocks that are announced until the next trial begins.
  private func announced(_ trial: inout ReadAheadTrial) -> Int {
    var count = 0
    while trial.announces {
      trial.didAnnounce(256)
      count += 256
    }
    return count
  }

  @Test func trialsThatFailBecomeRareAndStayShort() {
    var trial = ReadAheadTrial()
    var pauses: [Int] = []
    for round in 0..<9 {
      pauses.append(announced(&trial))
      #expect(trial.group == 4)
      trial.begin(faults: 10 * round)
      trial.didReadGroup(faults: 10 * round + 4)
      #expect(trial.announces)
    }
    #expect(pauses == [1, 2, 4, 8, 8, 8, 8, 8, 8].map { $0 << 10 })
  }

  @Test func groupsGrowWhileNothingWaitsForTheDisk() {
    var trial = ReadAheadTrial()
    #expect(announced(&trial) == 1024)
    trial.begin(faults: 3)
    trial.didReadGroup(faults: 4)
    #expect(announced(&trial) == 2048)
    trial.begin(faults: 7)
    var groups: [Int] = []
    for _ in 0..<8 {
      groups.append(trial.group)
      trial.didReadGroup(faults: 7)
      #expect(!trial.announces)
    }
    #expect(groups == [4, 8, 16, 32, 64, 128, 256, 256])
    // A success makes the next pause the shortest one again, twice it after the failure that ends it.
    trial.didReadGroup(faults: 8)
    #expect(trial.announces)
    #expect(announced(&trial) == 2048)
  }
}
