import Primitives

/// How often the samples of a training part use each row of one table. 4 bytes a row.
struct AccessCounts {
  private let counts: AlignedBuffer<UInt32>
  private(set) var accesses = 0

  init(rows: Int) { counts = AlignedBuffer(count: rows) }

  static func bytes(rows: Int) -> Int { rows * 4 }

  mutating func add(_ row: UInt32) {
    precondition(Int(row) < counts.count, "a row beyond its table")
    let count = counts.base[Int(row)]
    // Counts stop at the largest number: nothing below tells 4 billion uses from more.
    counts.base[Int(row)] = count == .max ? count : count + 1
    accesses += 1
  }

  subscript(row: Int) -> Int { Int(counts[row]) }
  var rows: Int { counts.count }

  /// Rows by how often they are used, as (uses, rows), most uses first. Complexity: linear; memory for 65,536 numbers and
  /// for the rows that are used more often than that.
  func byFrequency() -> [(uses: Int, rows: Int)] {
    let direct = 1 << 16
    var rowsByUses = Array(repeating: 0, count: direct)
    var frequent: [Int] = []
    for count in counts.prefix() {
      if count < direct { rowsByUses[Int(count)] += 1 } else { frequent.append(Int(count)) }
    }
    var result = frequent.sorted(by: >).map { (uses: $0, rows: 1) }
    for uses in (1..<direct).reversed() where rowsByUses[uses] > 0 {
      result.append((uses, rowsByUses[uses]))
    }
    return result
  }

  /// Share of the accesses that goes to the most used `share` of the used rows, rounded up to whole rows.
  static func shareOfTop(_ share: Double, of frequencies: [(uses: Int, rows: Int)]) -> Double {
    let used = frequencies.reduce(0) { $0 + $1.rows }
    let accesses = frequencies.reduce(0) { $0 + $1.uses * $1.rows }
    var left = Int((Double(used) * share).rounded(.up))
    var covered = 0
    for (uses, rows) in frequencies {
      let taken = min(rows, left)
      covered += taken * uses
      left -= taken
    }
    return accesses > 0 ? Double(covered) / Double(accesses) : 0
  }
}
